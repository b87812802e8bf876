"""What a slot that hands on has of the others' messages: their signed frames, as they are, for all others at once.

A reader then needs one message or object instead of one from every source. Who hands on can read what it has, as every
slot of a run can, and cannot change it: every frame keeps its MAC. What is large is not handed on, for the time that it
takes twice would cost more than the requests: a source sends it as it would without.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from channels.tags import Tag
from channels.transport import Outgoing

# Of one source. As objects, at about 75 MB/s (a function with one vCPU): to read and to write it takes 3.5 ms of
# everybody's time. As messages, where bytes cost, for 8 ranks: 4 publishes, what is saved by handing on.
MOST_OBJECT_BYTES = 128 << 10
MOST_MESSAGE_BYTES = 32 << 10
# Tags of which is known what was handed on; of those before, what comes again goes again, and its reader drops it.
KEPT_TAGS = 8


@dataclass
class Collected:
    """Frames under one tag for others than the slot that hands on.

    missing: sources of which nothing is there yet.
    frames:  that are still to be handed on.
    heard:   sources of which something was there, and for whom.
    """

    tag: Tag
    missing: set[int]
    frames: list[Outgoing] = field(default_factory=list)
    heard: dict[int, set[int]] = field(default_factory=dict)

    def add(self, frames: Iterable[Outgoing], source: int) -> None:
        """Take frames of a source, each once; one that is for several slots is one object."""
        known = self.heard.setdefault(source, set())
        new = [frame for frame in frames if frame.key.destination not in known]
        known.update(frame.key.destination for frame in new)
        self.frames += new
        self.missing.discard(source)

    def take(self) -> list[Outgoing]:
        """What is there and was not taken before: frames of one reader side by side, as far as they have one."""
        frames, self.frames = self.frames, []
        return sorted(frames, key=lambda frame: frame.key.destination)


@dataclass
class Relays:
    """Who hands on what, as far as one slot knows.

    slot:  the own one. by_tag: the slot that hands on.
    handed: tags of which this slot has handed on what was there; what comes later goes on its own.
    """

    slot: int
    by_tag: dict[Tag, int] = field(default_factory=dict)
    handed: set[Tag] = field(default_factory=set)
    _collected: dict[Tag, Collected] = field(default_factory=dict)

    def begin(self, tag: Tag, slot: int, sources: Sequence[int]) -> None:
        """Note who hands on under a tag, and as that slot begin to collect, or go on; what came early is there."""
        self.by_tag[tag] = slot
        if slot == self.slot:
            collected = self.collected(tag)
            collected.missing = set(sources) - {slot} - collected.heard.keys()

    def is_collecting(self, tag: Tag) -> bool:
        """Whether this slot hands on under a tag, and has not yet."""
        return self.by_tag.get(tag) == self.slot and tag not in self.handed

    def collected(self, tag: Tag) -> Collected:
        """What is to be handed on under a tag."""
        return self._collected.setdefault(tag, Collected(tag, set()))

    def end(self, tag: Tag) -> list[Outgoing]:
        """What is there, which is now handed on."""
        self.handed.add(tag)
        self.by_tag.pop(tag, None)
        frames = self.collected(tag).take()
        self._forget()
        return frames

    def _forget(self) -> None:
        done = [tag for tag in self._collected if tag in self.handed]
        for tag in done[:-KEPT_TAGS]:
            del self._collected[tag]
