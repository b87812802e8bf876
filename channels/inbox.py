"""What has arrived and not been asked for yet: puts chunks together, and takes every message once.

Messages of the step that was taken last are kept until a message of another step is taken, so that an exchange that was
interrupted can be run again from its start, by this process or by one that takes over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from channels.errors import FrameError
from channels.frame import Frame, Header
from channels.tags import Tag

Pair = tuple[int, Tag]  # (source slot, tag)
Buffer = bytes | memoryview


@dataclass
class Partial:
    """A message of which some chunks are still missing.

    chunks, total: of the whole message, as its first frame said.
    parts: payload by chunk number.
    """

    chunks: int
    total: int
    parts: dict[int, Buffer] = field(default_factory=dict)

    def add(self, header: Header, payload: Buffer) -> bool:
        """Keep a chunk; False if it is known already.

        Raises:
            FrameError: if it contradicts the others.
        """
        if (header.chunks, header.total) != (self.chunks, self.total):
            raise FrameError(f"frame: expected one of {self.chunks} chunks, {self.total} bytes in all, got {header}")
        if header.chunk in self.parts:
            return False
        if len(payload) + sum(map(len, self.parts.values())) > self.total:
            raise FrameError(f"frame: more than the {self.total} bytes that were declared: {header}")
        self.parts[header.chunk] = payload
        return True

    def whole(self) -> Buffer | None:
        """Return the message once every chunk is here; of one chunk, its own bytes."""
        if len(self.parts) < self.chunks:
            return None
        return self.parts[0] if self.chunks == 1 else b"".join(self.parts[i] for i in range(self.chunks))


@dataclass
class Inbox:
    """Messages by (source, tag).

    seen:    complete messages ever received.
    partial: messages of which chunks are missing.
    ready:   complete and not taken.
    taken:   taken, of the step that was taken last.
    """

    seen: set[Pair] = field(default_factory=set)
    partial: dict[Pair, Partial] = field(default_factory=dict)
    ready: dict[Pair, Buffer] = field(default_factory=dict)
    taken: dict[Pair, Buffer] = field(default_factory=dict)

    def add(self, frame: Frame) -> bool:
        """Keep a frame; False if it is a duplicate.

        Raises:
            FrameError: if it contradicts the other chunks of its message.
        """
        header = frame.header
        pair = (header.source, header.tag)
        if pair in self.seen:
            return False
        partial = self.partial.setdefault(pair, Partial(header.chunks, header.total))
        if not partial.add(header, frame.payload):
            return False
        self._finish(pair, partial)
        return True

    def _finish(self, pair: Pair, partial: Partial) -> None:
        payload = partial.whole()
        if payload is None:
            return
        del self.partial[pair]
        if len(payload) != partial.total:
            raise FrameError(f"message from slot {pair[0]}, {pair[1]}: expected {partial.total}, got {len(payload)}")
        self.seen.add(pair)
        self.ready[pair] = payload

    def take(self, pairs: Sequence[Pair]) -> tuple[Pair, Buffer] | None:
        """Return the first of `pairs` that is here, or None. Messages of another step taken before are dropped."""
        for pair in pairs:
            if pair in self.ready:
                self._keep_only(pair[1].step)
                payload = self.taken[pair] = self.ready.pop(pair)
                return pair, payload
        return next(((pair, self.taken[pair]) for pair in pairs if pair in self.taken), None)

    def peek(self, pairs: Sequence[Pair]) -> tuple[Pair, Buffer] | None:
        """Return the first of `pairs` that is here, or None; it stays."""
        found = next((pair for pair in pairs if pair in self.ready or pair in self.taken), None)
        return None if found is None else (found, self.ready[found] if found in self.ready else self.taken[found])

    def _keep_only(self, step: int) -> None:
        self.taken = {pair: payload for pair, payload in self.taken.items() if pair[1].step == step}

    def pop(self, pair: Pair) -> Buffer | None:
        """Remove and return a complete message, or None."""
        return self.ready.pop(pair, None)
