"""The channel every transport shares: de-duplication, fencing, the inbox, the deadline; `channels.outbox` makes frames.

A transport fills three hooks, `_put`, `_poll` and `_dispose`, and where it works in the background or its messages must
be acknowledged, `_settle`, `_quiesce` and `_drain`. It carries opaque bytes; what makes a run's messages right is here.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from channels.codec import Codec
from channels.config import ChannelConfig, ChannelHooks, ChannelStats
from channels.errors import ChannelTimeout, CodecError, ConfigError, Fenced
from channels.idle import IdleClock
from channels.inbox import Buffer, Pair
from channels.intake import Intake
from channels.outbox import Outbox, PayloadGroup
from channels.precision import precision_code
from channels.sample_book import Message, SampleBook
from channels.samples import Samples
from channels.snapshot import Snapshot, load_snapshot, save_snapshot
from channels.tags import ABORT, Tag
from channels.tensors import Tensor
from channels.transport import Incoming, Key, Outgoing

RELAYING = ("object", "queue")
Find = Callable[[Sequence[Pair]], tuple[Pair, Buffer] | None]


class Channel(ABC):
    """Moves tensors and small JSON between the slots of one run.

    Used by one thread; a transport may have threads of its own. A message is named by (source, destination, tag), and a
    name is used once per attempt: sending it again is harmless. A `recv` that was interrupted, or repeated within
    the same step, gives the same message.
    """

    def __init__(self, config: ChannelConfig, hooks: ChannelHooks) -> None:
        self.config = config
        self.hooks = hooks
        self.stats = ChannelStats()
        self._codec = Codec(config.max_message_bytes)
        self._intake = Intake(config, self.stats, self._codec)
        self._book = SampleBook()
        self._outbox = Outbox(config, self._codec, self._book)
        self._idle = IdleClock(self.hooks.clock)

    def use_precision(self, name: str) -> None:
        """Send floats from now on in this precision (channels.precision): "exact", or a named trade.

        Raises:
            ConfigError: if there is none of that name.
        """
        self._codec.precision = precision_code(name)

    # Sending

    def send(self, dst: int, tag: Tag, tensor: Tensor) -> None:
        """Send one tensor to slot `dst`; it may still be on its way when this returns.

        Raises:
            TransportError: if the service refuses it, or something sent before, after all retries.
            CodecError: if the tensor cannot travel.
            RunAborted, Fenced: if this was learned before.
        """
        self.send_many([(dst, tag, tensor)])

    def send_many(self, messages: Iterable[Message]) -> None:
        """Send (dst, tag, tensor) messages in as few requests as fit. Neighbours of the same object are encoded once.

        messages: an iterator's tensors may be made one by one: none is held longer than the next one takes.

        Raises:
            TransportError, CodecError, RunAborted, Fenced: as `send`.
        """
        self._raise_if_over()
        started = time.perf_counter()
        outgoing = self._outbox.frames(self._stash(self._outbox.tensors(messages)), self.max_payload)
        self.stats.encode_s += time.perf_counter() - started
        self._send_frames(outgoing)

    def send_json(self, dst: int, tag: Tag, value: object) -> None:
        """Send a small JSON value to slot `dst`.

        Raises:
            TransportError, CodecError, RunAborted, Fenced: as `send`.
        """
        self._raise_if_over()
        self.send_json_many([(dst, tag, value)])

    def send_json_many(self, messages: Sequence[tuple[int, Tag, object]]) -> None:
        """Send small JSON values, in as few requests as fit.

        Raises:
            TransportError, CodecError, RunAborted, Fenced: as `send`.
        """
        self._raise_if_over()
        groups = [self._outbox.json([dst], tag, value) for dst, tag, value in messages]
        self._send_frames(self._outbox.frames(groups, self.max_payload))

    def relay(self, tag: Tag, slot: int, sources: Sequence[int], on: Sequence[str] = RELAYING) -> None:  # noqa: B027
        """Let `slot` hand on what `sources` send under a tag: each reader gets all of it in one piece.

        All that send, read or hand on call it before they send and receive under the tag, and `slot` calls `hand_on` in
        between; what they send and receive stays the same. For transports on which many messages are dear: this one
        does nothing.

        on: the kinds of transport that do it, of RELAYING.
        """

    def hand_on(self, tag: Tag) -> None:  # noqa: B027 - as relay
        """As the slot that `relay` named: wait until all sources have sent, and hand it on. Nothing without `relay`.

        Raises:
            As `recv`.
        """

    def price_json(self, dst: int, tag: Tag, value: object) -> list[tuple[str, int]]:
        """The calls that send_json would make: (operation, payload bytes) of each, as a meter would count them."""
        return self._price(self._outbox.frames([self._outbox.json([dst], tag, value)], self.max_payload))

    def abort(self, reason: str) -> None:
        """Tell all other slots that the run is over: their recv raises RunAborted. Does nothing if it is already.

        Raises:
            TransportError: if the service refuses it after all retries.
        """
        if self._intake.over is None:
            others = [slot for slot in range(self.config.slots) if slot != self.config.slot]
            group = self._outbox.json(others, Tag(ABORT), {"reason": reason})
            self._send_frames(self._outbox.frames([group], self.max_payload))
            self._drain()

    def _send_frames(self, outgoing: Sequence[Outgoing]) -> None:
        self.stats.frames_sent += len(outgoing)
        self.stats.bytes_sent += sum(len(out.data) for out in outgoing)
        if outgoing:
            self._put(outgoing)

    # Receiving

    def recv(self, src: int, tag: Tag) -> Tensor:
        """Wait for one tensor; its arrays may be read-only.

        Raises:
            ChannelTimeout: if the deadline passes first.
            RunAborted: if a slot ended the run.
            Fenced: if a newer holder of this lane or slot has been seen.
            CodecError: if the message is no tensor.
            Whatever the hooks raise; the message is then not lost.
        """
        return self.recv_any([(src, tag)])[2]

    def await_all(self, pairs: Sequence[Pair]) -> None:
        """Wait until all of several (src, tag) are here, still encoded: for who has no room for them until then.

        Raises:
            As `recv`.
        """
        self._raise_if_over()
        while missing := [pair for pair in pairs if not self.has_arrived(*pair)]:
            self._wait(missing, self._intake.inbox.peek)

    def recv_any(self, pairs: Sequence[Pair]) -> tuple[int, Tag, Tensor]:
        """Wait for the first of several (src, tag) to come and return (src, tag, tensor).

        Raises:
            As `recv`.
        """
        (src, tag), payload = self._await(pairs, self._intake.inbox.take)
        return src, tag, self._decode(src, tag, payload)

    def _decode(self, src: int, tag: Tag, payload: Buffer) -> Tensor:
        started, waited = time.perf_counter(), self.stats.wait_s
        tensor = self._codec.decode(self._claim(payload), partial(self._recall, src, tag))
        self._book.note_received(src, tag, tensor)
        self.stats.decode_s += time.perf_counter() - started - (self.stats.wait_s - waited)
        return tensor

    def _recall(self, src: int, tag: Tag, earlier: Tag) -> Samples:
        """The samples of an earlier message of `src`, which may have been overtaken by the one under `tag`."""
        if not earlier < tag:
            raise CodecError(
                f"payload of {tag} from slot {src}: refers to the samples of {earlier}, which is not earlier"
            )
        if (src, earlier) not in self._book.heard:
            _, payload = self._await([(src, earlier)], self._intake.inbox.peek)
            self._decode(src, earlier, payload)
        if (src, earlier) not in self._book.heard:
            raise CodecError(f"payload of {tag} from slot {src}: {earlier} has no samples to refer to")
        return self._book.heard[src, earlier]

    def recv_json(self, src: int, tag: Tag) -> object:
        """Wait for one JSON value.

        Raises:
            As `recv`.
        """
        return self.recv_json_any([(src, tag)])[2]

    def recv_json_any(self, pairs: Sequence[Pair]) -> tuple[int, Tag, object]:
        """Wait for the first of several (src, tag) to come and return (src, tag, value).

        Raises:
            As `recv`.
        """
        (src, tag), payload = self._await(pairs, self._intake.inbox.take)
        return src, tag, self._codec.decode_json(payload)

    def _await(self, pairs: Sequence[Pair], find: Find) -> tuple[Pair, Buffer]:
        if not pairs:
            raise ConfigError("recv: expected at least one (source, tag) to wait for, got none")
        self._raise_if_over()
        return find(pairs) or self._wait(pairs, find)

    def _wait(self, pairs: Sequence[Pair], find: Find) -> tuple[Pair, Buffer]:
        started = self.hooks.clock()
        self.stats.waits += 1
        try:
            with self._idle.waiting():
                while (found := find(pairs)) is None:
                    self._wait_once(pairs, started)
        finally:
            self.stats.wait_s += self.hooks.clock() - started
        return found

    def _wait_until(self, is_there: Callable[[], bool], sources: Iterable[int], tag: Tag) -> None:
        """Wait for what `sources` send under a tag, until the transport has what it needs of it."""
        pairs = [(source, tag) for source in sorted(sources)]
        if not is_there():
            self._wait(pairs, lambda found: (found[0], b"") if is_there() else None)

    def idle_s(self) -> float:
        """Seconds for which this slot has been waiting for a message and nothing else; any thread may ask."""
        return self._idle.seconds()

    def has_arrived(self, src: int, tag: Tag) -> bool:
        """Whether a message has come, taken or not."""
        return (src, tag) in self._intake.inbox.seen

    def _wait_once(self, pairs: Sequence[Pair], started: float) -> None:
        self.hooks.check()
        now = self.hooks.clock()
        if now >= self.config.deadline:
            raise ChannelTimeout(f"slot {self.config.slot}: no {_names(pairs)} within {now - started:.3f} s")
        expected = [Key(src, self.config.slot, tag) for src, tag in pairs]
        arrived = self._poll(expected, min(self.config.poll_s, self.config.deadline - now))
        if arrived:
            self._idle.stir()
        self._absorb(arrived)
        self._raise_if_over()
        while self._intake.foreign:
            self.hooks.on_foreign(self._intake.foreign.popleft())

    def _absorb(self, messages: Sequence[Incoming]) -> None:
        """Sort everything received into the inbox before anything is raised, and acknowledge what is not another's."""
        refused = [message for message in messages if not self._accept(message)]
        self._settle([m for m in messages if m not in refused], refused)

    def _accept(self, message: Incoming) -> bool:
        """Take in one message, and what came with it for others; False if it belongs to a newer holder."""
        confirm = self.hooks.confirm_epoch
        accepted = (not message.data and bool(message.parts)) or self._intake.accept(message.data, confirm)
        for slot, data in message.parts:
            header = self._intake.accept_for(slot, data, confirm)
            if header is not None:
                self._take_for(Outgoing(Key(header.source, slot, header.tag), data))
        return accepted and not isinstance(self._intake.over, Fenced)

    @contextmanager
    def _calling(self) -> Iterator[None]:
        """Count the time of the transport's own requests."""
        started = time.perf_counter()
        try:
            with self._idle.calling():
                yield
        finally:
            self.stats.call_s += time.perf_counter() - started

    def _raise_if_over(self) -> None:
        if self._intake.over is not None:
            raise self._intake.over

    # Ending, and handing over

    def flush(self) -> None:
        """Wait until everything sent and acknowledged has left this process.

        Raises:
            TransportError: if the service refuses it after all retries.
        """
        self._drain()

    def close(self) -> None:
        """Flush, unless fenced, and free what the transport holds. May be called twice."""
        try:
            if not isinstance(self._intake.over, Fenced):
                self._absorb(self._quiesce())
                self._drain()
        finally:
            self._dispose()

    def cleanup(self) -> None:  # noqa: B027 - most transports leave nothing
        """Remove what the run left on the transport; for rank 0, when the others are done and before `close`.

        Raises:
            TransportError: if the service refuses it after all retries.
        """

    def save_inbox(self) -> bytes:
        """Stop receiving and return what the successor of this slot's process needs of what was received, signed.

        Raises:
            Fenced, RunAborted: there is nothing to take over.
        """
        self._drain()
        self._absorb(self._quiesce())
        self._raise_if_over()
        return save_snapshot(Snapshot(self._intake.inbox, tuple(self._intake.foreign), self._book.heard), self.config)

    def restore_inbox(self, data: bytes) -> None:
        """Take over from the process whose save_inbox gave `data`: same run, attempt, epoch and slot.

        Raises:
            FrameError: if the data is not that, or not signed with this run's key.
        """
        snapshot = load_snapshot(data, self.config)
        self._intake.inbox = snapshot.inbox
        self._intake.foreign = deque(snapshot.foreign)
        self._book.heard = dict(snapshot.heard)

    # What a transport fills

    @property
    @abstractmethod
    def max_payload(self) -> int:
        """Largest payload of one frame, in bytes; a larger message is cut."""

    def _stash(self, groups: Sequence[PayloadGroup]) -> Sequence[PayloadGroup]:
        """Leave payloads elsewhere, and send in their place what `_claim` understands."""
        return groups

    def _claim(self, payload: Buffer) -> Buffer:
        """Return the payload that `_stash` left elsewhere."""
        return payload

    def _price(self, batch: Sequence[Outgoing]) -> list[tuple[str, int]]:
        """(operation, payload bytes) of each call that _put would make; none where sending is no call."""
        del batch
        return []

    @abstractmethod
    def _put(self, batch: Sequence[Outgoing]) -> None:
        """Send frames, perhaps in the background: a later call, or `_drain`, raises what goes wrong."""

    @abstractmethod
    def _poll(self, expected: Sequence[Key], timeout_s: float) -> Sequence[Incoming]:
        """Return what has arrived, waiting at most about `timeout_s`; it may be anything, not just `expected`."""

    @abstractmethod
    def _dispose(self) -> None:
        """Free what is held. Called once or more; sends and deletes nothing."""

    def _take_for(self, frame: Outgoing) -> None:  # noqa: B027 - as relay
        """Take a frame that is to be handed on."""

    def _settle(self, accepted: Sequence[Incoming], refused: Sequence[Incoming]) -> None:
        """Acknowledge `accepted`, some time before `_drain` returns; make `refused` available to others."""
        del accepted, refused

    def _quiesce(self) -> Sequence[Incoming]:
        """Stop receiving and return what is still on its way into this process."""
        return ()

    def _drain(self) -> None:  # noqa: B027 - most transports have nothing in the background
        """Wait for what happens in the background, and raise TransportError where it failed."""


def _names(pairs: Sequence[Pair]) -> str:
    src, tag = pairs[0]
    more = f" (and {len(pairs) - 1} more)" if len(pairs) > 1 else ""
    return f"{tag} from slot {src}{more}"
