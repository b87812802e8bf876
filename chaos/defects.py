"""What the harness switches off to see that it would notice: a safeguard of the service, replaced by its absence.

Nothing of the service can be told to do this: the defect is in the code that the harness deploys beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from channels.base import Channel
from channels.frame import Frame
from channels.inbox import Buffer, Inbox, Pair
from runs import patience

# What is left out, and the kinds of fault that show it.
DEFECTS: Mapping[str, tuple[str, ...]] = {"deadlines": ("drop",), "deduplication": ("duplicate",)}


class NaiveInbox(Inbox):
    """Takes the messages of a source in the order in which they come, every copy as one more: what names are for."""

    def __init__(self) -> None:
        super().__init__()
        self._arrived: dict[int, list[Buffer]] = {}

    def add(self, frame: Frame) -> bool:
        """Keep a frame of a message of one chunk, whether it came before or not."""
        self._arrived.setdefault(frame.header.source, []).append(frame.payload)
        return True

    def take(self, pairs: Sequence[Pair]) -> tuple[Pair, Buffer] | None:
        """The next message of the first source that has one."""
        for source, tag in pairs:
            if self._arrived.get(source):
                return (source, tag), self._arrived[source].pop(0)
        return None

    def pop(self, pair: Pair) -> Buffer | None:
        """The last message that came."""
        arrived = self._arrived.get(pair[0])
        return arrived.pop() if arrived else None


def without_deadlines() -> None:
    """From now on nobody in this process asks whether anybody is at work: the limits are the request's to leave out."""
    patience.ASK_S = math.inf


def without_deduplication(channel: Channel) -> Channel:
    """The same channel, which takes every copy of a message for a new one."""
    channel._intake.inbox = NaiveInbox()
    return channel
