"""A rank's side of one exchange: ranks and steps for the collectives, slots and tags for the channel, and counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from channels.tags import Tag
from channels.tensors import LiveTensor, Tensor
from engine.errors import ExchangeError
from engine.tensor_ops import check_live


class TensorChannel(Protocol):
    """What the machine needs of a channel; `channels.base.Channel` has it.

    A message is named by (source, destination, tag). Sending one again is harmless, and a receive that is repeated
    within the same step gives the same message: that is what makes an exchange repeatable.
    """

    def send_many(self, messages: Iterable[tuple[int, Tag, Tensor]]) -> None:
        """Send (slot, tag, tensor) messages; neighbours of the same object may be encoded once."""
        ...

    def recv_any(self, pairs: Sequence[tuple[int, Tag]]) -> tuple[int, Tag, Tensor]:
        """Wait for the first of several (slot, tag) and return (slot, tag, tensor)."""
        ...

    def relay(self, tag: Tag, slot: int, sources: Sequence[int], on: Sequence[str]) -> None:
        """Let `slot` hand on what `sources` send under a tag, if the transport is one of `on`; see the channel's."""
        ...

    def hand_on(self, tag: Tag) -> None:
        """As the slot that `relay` named, hand on what the others have sent; see the channel's."""
        ...

    def has_arrived(self, src: int, tag: Tag) -> bool:
        """Whether a message is here, so that nobody would wait for it; one that nobody has asked for yet may not be."""
        ...


@dataclass
class Traffic:
    """What went through ports: payload bytes before encoding, messages, and seconds spent waiting."""

    sent_bytes: int = 0
    received_bytes: int = 0
    sent_messages: int = 0
    wait_seconds: float = 0.0


class Port:
    """The channel as one instruction sees it.

    rank:  the own rank.
    slots: slot of each rank.
    phase: rounds within one step are told apart by the tag's micro-batch number.
    """

    def __init__(
        self,
        channel: TensorChannel,
        slots: Sequence[int],
        rank: int,
        step: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.rank = rank
        self.step = step
        self.traffic = Traffic()
        self._channel = channel
        self._slots = slots
        self._clock = clock

    def send(self, messages: Sequence[tuple[int, Tensor]] | Iterator[tuple[int, Tensor]], phase: int = 0) -> None:
        """Send (rank, tensor) messages to other ranks. Those of an iterator, which has some, are made one by one."""
        if messages:
            self._channel.send_many(self._counted(messages, Tag(self.step, phase)))

    def _counted(self, messages: Iterable[tuple[int, Tensor]], tag: Tag) -> Iterator[tuple[int, Tag, Tensor]]:
        for rank, tensor in messages:
            self.traffic.sent_messages += 1
            self.traffic.sent_bytes += tensor.nbytes
            yield self._slots[rank], tag, tensor

    def relay(self, rank: int, senders: Sequence[int], on: Sequence[str], phase: int = 0) -> None:
        """Let `rank` hand on what `senders` send; all of them and all readers call it before they send and receive.

        on: the kinds of channel for which it is.
        """
        self._channel.relay(Tag(self.step, phase), self._slots[rank], [self._slots[sender] for sender in senders], on)

    def hand_on(self, phase: int = 0) -> None:
        """Wait for what all senders send, as the rank that `relay` named; between send and receive."""
        started = self._clock()
        self._channel.hand_on(Tag(self.step, phase))
        self.traffic.wait_seconds += self._clock() - started

    def receive(self, ranks: Sequence[int], phase: int = 0) -> Iterator[tuple[int, Tensor]]:
        """Yield (rank, tensor) of each of `ranks` in the order of arrival."""
        tag = Tag(self.step, phase)
        waiting = {self._slots[rank]: rank for rank in ranks}
        while waiting:
            yield self._next(waiting, tag)  # no name for it here: it would stay until the next one is decoded

    def _next(self, waiting: dict[int, int], tag: Tag) -> tuple[int, Tensor]:
        started = self._clock()
        slot, _, tensor = self._channel.recv_any([(slot, tag) for slot in waiting])
        self.traffic.wait_seconds += self._clock() - started
        self.traffic.received_bytes += tensor.nbytes
        if isinstance(tensor, LiveTensor):
            check_live(tensor)
        return waiting.pop(slot), tensor

    def is_any_here(self, ranks: Iterable[int], phase: int = 0) -> bool:
        """Whether the tensor of any of these ranks can be received without waiting."""
        return any(self._channel.has_arrived(self._slots[rank], Tag(self.step, phase)) for rank in ranks)

    def receive_all(self, ranks: Sequence[int], phase: int = 0) -> dict[int, Tensor]:
        """The tensors of all of `ranks`, by rank."""
        return dict(self.receive(ranks, phase))


def same_kind(expected: Tensor, got: Tensor, source: int) -> None:
    """Refuse a live tensor where a dense one is due, and the reverse.

    Raises:
        ExchangeError: naming the source rank.
    """
    if isinstance(expected, LiveTensor) != isinstance(got, LiveTensor):
        names = {True: "a live tensor", False: "a dense tensor"}
        raise ExchangeError(
            f"from rank {source}: expected {names[isinstance(expected, LiveTensor)]}, "
            f"got {names[isinstance(got, LiveTensor)]}"
        )
