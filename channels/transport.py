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
    """

    data: bytes | str
    receipt: str = ""
