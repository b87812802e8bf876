"""Ranks of one process that take turns at holding large tensors: a machine has less memory than all functions together.

A rank that waits for messages gives its turn up, and does not decode any before all that it waits for are there: what
waits is its own activation, and compressed messages. Nothing that is counted changes but by timing: what is sent,
received and asked for is the channel's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from threading import Semaphore

from channels import Channel
from channels.sample_book import Message
from channels.tags import Tag
from channels.tensors import Tensor

AT_ONCE = 2


class TurnChannel:
    """A rank's end of a channel.

    turns: of which the rank holds one while it uses this.
    """

    def __init__(self, channel: Channel, turns: Semaphore) -> None:
        self._channel = channel
        self._turns = turns

    def use_precision(self, name: str) -> None:
        """As the channel's."""
        self._channel.use_precision(name)

    def abort(self, reason: str) -> None:
        """As the channel's."""
        self._channel.abort(reason)

    def send_many(self, messages: Iterable[Message]) -> None:
        """As the channel's."""
        self._channel.send_many(messages)

    def has_arrived(self, src: int, tag: Tag) -> bool:
        """As the channel's."""
        return self._channel.has_arrived(src, tag)

    def relay(self, tag: Tag, slot: int, sources: Sequence[int], on: Sequence[str]) -> None:
        """As the channel's."""
        self._channel.relay(tag, slot, sources, on)

    def hand_on(self, tag: Tag) -> None:
        """As the channel's; the turn is another's meanwhile.

        Raises:
            As the channel's.
        """
        self._turns.release()
        try:
            self._channel.hand_on(tag)
        finally:
            self._turns.acquire()

    def recv_any(self, pairs: Sequence[tuple[int, Tag]]) -> tuple[int, Tag, Tensor]:
        """As the channel's, but the turn is another's until all that is waited for is there.

        Raises:
            As the channel's.
        """
        if not all(self._channel.has_arrived(*pair) for pair in pairs):
            self._turns.release()
            try:
                self._channel.await_all(pairs)
            finally:
                self._turns.acquire()
        return self._channel.recv_any(pairs)
