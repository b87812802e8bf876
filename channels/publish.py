"""Which requests a batch of frames takes on SNS and SQS: as few as AWS' rules for size and price allow.

SNS charges each request by chunks of 64 KiB, whatever the number of messages and of queues that get them; SQS charges
what each queue's owner receives, by the same chunks. A frame for many slots is sent once. Different frames share a
parcel while ten such parcels, one receive, fit one chunk: then who gets more than its own pays nothing for it. A parcel
travels alone as a binary attribute, which costs its own bytes; several are entries of a batch, as text, which costs a
third more. A frame that nearly fills a chunk goes alone.

SNS is for what several slots read, or several messages of a batch. What that does not make cheaper goes to the queue of
its slot directly, as a binary attribute too: 4e-7 USD a chunk instead of 5e-7. So does all while filters do not work.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from channels.parcel import pack_parcel, same_data
from channels.text import to_text
from channels.transport import Outgoing
from costs.limits import SNS_BATCH, SNS_BILLING_CHUNK, SNS_PAYLOAD, SQS_BATCH, SQS_BILLING_CHUNK
from costs.prices import PRICES

T = TypeVar("T")

SLOT, SLOT_TYPE, SLOTS_TYPE = "slot", "String", "String.Array"
DATA, DATA_TYPE = "d", "Binary"
NO_BODY, RELAYED_BODY = ".", ">"  # a body must not be empty; the second: what is in it for others is to be handed on

SHARED_BYTES = SQS_BILLING_CHUNK.value // SQS_BATCH.value
ALONE_BYTES = SNS_BILLING_CHUNK.value * 3 // 4  # as text, it would fill the chunk
_INDEXED_BYTES = 32  # of a frame in a parcel with one reader: more than its place in the index and what else is added
# The emulator counts a binary attribute as base64: so much is 256 KiB there, and three chunks exactly on AWS.
LARGEST_BYTES = SNS_PAYLOAD.value * 3 // 4


@dataclass(frozen=True)
class Entry:
    """One message: a parcel, and the slots whose subscriptions select it."""

    slots: tuple[int, ...]
    parcel: bytes

    @staticmethod
    def of(frames: Sequence[Outgoing]) -> Entry:
        """The message that carries these frames."""
        return Entry(tuple(sorted({frame.key.destination for frame in frames})), pack_parcel(frames))

    @property
    def selector(self) -> tuple[str, str]:
        """Type and value of the attribute that subscriptions filter by."""
        if len(self.slots) == 1:
            return SLOT_TYPE, str(self.slots[0])
        return SLOTS_TYPE, json.dumps([str(slot) for slot in self.slots], separators=(",", ":"))

    @cached_property
    def text(self) -> str:
        """The parcel as a body."""
        return to_text(self.parcel)

    @property
    def text_bytes(self) -> int:
        """What counts when it is sent as text: body, and the attribute's name, type and value."""
        return len(self.text) + self._selector_bytes

    @property
    def binary_bytes(self) -> int:
        """What counts when it is sent as an attribute: both attributes, and the body that says nothing."""
        return self.direct_bytes + self._selector_bytes

    @property
    def direct_bytes(self) -> int:
        """What counts when it is sent to a queue, which needs no selector."""
        return len(NO_BODY) + len(DATA) + len(DATA_TYPE) + len(self.parcel)

    @property
    def _selector_bytes(self) -> int:
        return len(SLOT) + sum(map(len, self.selector))


@dataclass(frozen=True)
class Request:
    """One call; more than one entry is a batch.

    slot: whose queue gets it directly; None = the topic.
    body: NO_BODY or RELAYED_BODY.
    """

    entries: tuple[Entry, ...]
    slot: int | None = None
    body: str = NO_BODY

    @property
    def operation(self) -> str:
        """As the bill names it."""
        if self.slot is not None:
            return "sqs:SendMessage"
        return "sns:Publish" if len(self.entries) == 1 else "sns:PublishBatch"

    @property
    def size(self) -> int:
        """Bytes that count."""
        if self.slot is not None:
            return self.entries[0].direct_bytes
        if len(self.entries) == 1:
            return self.entries[0].binary_bytes
        return sum(entry.text_bytes for entry in self.entries)

    @property
    def usd(self) -> float:
        """Price of the call."""
        name, chunk = ("sns.request", SNS_BILLING_CHUNK) if self.slot is None else ("sqs.request", SQS_BILLING_CHUNK)
        return PRICES[name].usd * -(-self.size // chunk.value)


def plan_requests(frames: Sequence[Outgoing], filters: bool = True) -> list[Request]:
    """The calls that carry these frames, each of at most LARGEST_BYTES with what is added to it.

    filters: whether the topic's subscriptions select by slot already.
    """
    if not filters:
        return _to_queues(frames)
    return [request for planned in _by_topic(frames) for request in _cheaper(planned)]


def plan_relayed(frames: Sequence[Outgoing], filters: bool = True) -> list[Request]:
    """The calls that hand on frames of several sources: each slot gets all of its in one message, as far as it fits.

    filters: as plan_requests.
    """
    if not filters:
        return _to_queues(frames)
    whole = Request((Entry.of(frames),))
    bins = _by_readers(frames)
    return min([[whole], bins], key=_usd_with_receives) if whole.size <= LARGEST_BYTES else bins


def _by_readers(frames: Sequence[Outgoing]) -> list[Request]:
    """What several slots get in one message of a chunk; what is more for one slot goes to its queue."""
    mine: dict[int, list[Outgoing]] = {}
    for frame in frames:
        mine.setdefault(frame.key.destination, []).append(frame)
    sizes = {slot: sum(len(frame.data) + _INDEXED_BYTES for frame in part) for slot, part in mine.items()}
    requests: list[Request] = []
    for slots in first_fit(sorted(mine), sizes.__getitem__, ALONE_BYTES, len(mine)):
        part = [frame for slot in slots for frame in mine[slot]]
        large = sum(sizes[slot] for slot in slots) > ALONE_BYTES
        requests += _to_queues(part) if large else _cheaper(Request((Entry.of(part),)))
    return requests


def _usd_with_receives(requests: Sequence[Request]) -> float:
    """Price of calls, and of receiving what they send, if nothing else came with it."""
    readers = ((1 if request.slot is not None else len(request.entries[0].slots), request) for request in requests)
    chunks = sum(count * -(-request.size // SQS_BILLING_CHUNK.value) for count, request in readers)
    return chunks * PRICES["sqs.request"].usd + sum(request.usd for request in requests)


def _cheaper(planned: Request) -> list[Request]:
    """A call of the topic, or a message to each queue where that costs less."""
    direct = [Request((entry,), slot) for entry in planned.entries for slot in entry.slots]
    return direct if sum(request.usd for request in direct) < planned.usd else [planned]


def _to_queues(frames: Sequence[Outgoing]) -> list[Request]:
    """What each slot gets in as few messages as fit."""
    slots = sorted({frame.key.destination for frame in frames})
    by_slot = ((slot, [frame for frame in frames if frame.key.destination == slot]) for slot in slots)
    return [
        Request((Entry.of(part),), slot)
        for slot, mine in by_slot
        for part in first_fit(mine, lambda frame: len(frame.data) + _INDEXED_BYTES, LARGEST_BYTES, len(mine))
    ]


def _by_topic(frames: Sequence[Outgoing]) -> list[Request]:
    groups = same_data(frames)
    if len(groups) == 1 or sum(map(_data_bytes, groups)) <= SHARED_BYTES:
        whole = Entry.of(frames)
        if len(groups) == 1 or whole.binary_bytes <= SHARED_BYTES:
            return [Request((whole,))]
    large = [group for group in groups if _data_bytes(group) > ALONE_BYTES]
    small = [group for group in groups if _data_bytes(group) <= ALONE_BYTES]
    bins = first_fit(small, _data_bytes, SHARED_BYTES, len(small))
    parcels = [Entry.of([frame for group in groups for frame in group]) for groups in bins]
    batches = first_fit(parcels, lambda entry: entry.text_bytes, SNS_PAYLOAD.value, SNS_BATCH.value)
    return [*(Request((Entry.of(group),)) for group in large), *(Request(tuple(batch)) for batch in batches)]


def _data_bytes(group: Sequence[Outgoing]) -> int:
    """Of frames that are one object."""
    return len(group[0].data)


def first_fit(items: Iterable[T], size: Callable[[T], int], max_bytes: int, max_count: int) -> list[list[T]]:
    """Pack items, largest first, into the first bin with room: `max_count` of `max_bytes`, or one larger item."""
    bins: list[list[T]] = []
    room: list[int] = []
    for item in sorted(items, key=size, reverse=True):
        i = next((i for i, left in enumerate(room) if size(item) <= left and len(bins[i]) < max_count), None)
        if i is None:
            bins.append([item])
            room.append(max_bytes - size(item))
        else:
            bins[i].append(item)
            room[i] -= size(item)
    return bins
