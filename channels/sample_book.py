"""Which sample numbers the other side of each pair has seen, so that they are not sent again.

The sender refers to an earlier message by name, and the receiver keeps what it has decoded: nothing is assumed of the
order in which messages come or are asked for. What a restarted sender does not remember it sends in full.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from channels.inbox import Pair
from channels.samples import Known, Samples
from channels.tags import Tag
from channels.tensors import LiveTensor, Tensor

Message = tuple[int, Tag, Tensor]  # destination, tag, tensor


@dataclass
class Page:
    """What messages tell that are not sent yet, by destination; neighbours of the same tensor share one note."""

    told: dict[int, Known] = field(default_factory=dict)
    _last: tuple[Tensor, Known] | None = None

    def note(self, destination: int, tag: Tag, tensor: Tensor) -> None:
        """Note what a message tells."""
        if not isinstance(tensor, LiveTensor) or tag.step < 0:
            return
        if self._last is None or self._last[0] is not tensor or self._last[1].tag != tag:
            self._last = tensor, Known(tag, tensor.samples)
        self.told[destination] = self._last[1]


@dataclass
class SampleBook:
    """One slot's notes, for one attempt.

    told:  by destination, what was sent to it last.
    heard: by (source, tag), what was received. Equal ones of a source share their memory.
    """

    told: dict[int, Known] = field(default_factory=dict)
    heard: dict[Pair, Samples] = field(default_factory=dict)

    def known_to(self, destination: int, tag: Tag) -> Known | None:
        """What a message under `tag` may refer to: an earlier one of the same program."""
        known = self.told.get(destination)
        return known if known is not None and known.tag < tag else None

    def note_sent(self, page: Page) -> None:
        """Remember what messages told, once all of them could be encoded."""
        self.told.update(page.told)

    def note_received(self, source: int, tag: Tag, tensor: Tensor) -> None:
        """Remember what a message told."""
        if isinstance(tensor, LiveTensor) and tag.step >= 0:
            self.heard[source, tag] = tensor.samples
