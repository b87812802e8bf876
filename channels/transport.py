"""What a channel's base class and its transport hand to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from channels.tags import Tag


class Key(NamedTuple):
    """Names one message of an attempt."""

    source: int
    destination: int
    tag: Tag


@dataclass(frozen=True)
class Outgoing:
    """A frame to be sent: `data` is what the transport carries, `key` the message that it belongs to."""

    key: Key
    data: bytes


@dataclass(frozen=True, eq=False)
class Incoming:
    """Something received: a frame's bytes, or a text that is no frame.

    receipt: what the transport needs to acknowledge it; empty if nothing is to be acknowledged.
    parts:   (slot, frame) that came with it for others, to be handed on. data may then be empty.
    """

    data: bytes | str
    receipt: str = ""
    parts: tuple[tuple[int, bytes], ...] = ()

    @property
    def frames(self) -> list[bytes]:
        """What may be frames in it, its own first; none if it is a text."""
        own = [self.data] if isinstance(self.data, bytes) and self.data else []
        return [*own, *(data for _, data in self.parts)]


def tag_of(frame: Outgoing) -> Tag:
    """What a frame's message is about, to sort and group by."""
    return frame.key.tag
