"""Channel over S3: an object per rank and step, of which each target reads its part; nothing is listed on the way.

Latency: 20 to 100 ms a message. Price: a PUT 5e-6 USD for all targets of a send, a GET 4e-7 USD a message, misses
included; bytes are free within a region. Best for large messages.

Where one slot hands on what many have for many (`relay`), it reads what each of them put, and puts all of it again as
one object, with its own, of which everybody reads his part: a GET for each reader instead of one for each message, and
another PUT and GET on the way.

S3 answers 403 instead of 404 for a missing object unless the role may s3:ListBucket under the prefix: grant it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from channels import retry
from channels.background import Background
from channels.base import RELAYING, Channel
from channels.config import ChannelConfig, ChannelHooks
from channels.exchange_folder import ExchangeFolder
from channels.frame import OVERHEAD_BYTES
from channels.object_reader import Found, ObjectReader
from channels.parcel import pack_parcel
from channels.relay import MOST_OBJECT_BYTES, Relays
from channels.schedule import Answer, Backoff, Schedule, Waiting
from channels.stamped import pack_stamped
from channels.tags import ABORT, Tag
from channels.transport import Incoming, Key, Outgoing, tag_of

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

# What is kept of the latest sends, for those who send under one tag more than once.
KEPT_TAGS = 4
KEPT_BYTES = 16 << 20


@dataclass(frozen=True)
class ObjectSettings:
    """Where messages are kept, and how they are waited for.

    prefix:  the run's own, "runs/<run_id>/x/": all that is exchanged lies under it, and cleaning up empties it.
    threads: GETs or PUTs at the same time.
    relays:  whether `relay` has an effect; the same for all slots of a run.
    waiting, abort_waiting: for a message; for the notice that the run is over, when a message does not come.
    abort_s: how long nobody asks for that notice while messages come, at most: it is a GET as well.
    """

    bucket: str
    prefix: str
    threads: int = 8
    relays: bool = True
    waiting: Waiting = field(default_factory=Waiting)
    abort_waiting: Waiting = field(default_factory=lambda: Waiting(start_s=0.5, cap_s=2.0))
    abort_s: float = 5.0
    backoff: retry.Backoff = field(default_factory=retry.Backoff)


class ObjectChannel(Channel):
    """One slot's end of a run's exchange prefix."""

    def __init__(
        self, config: ChannelConfig, settings: ObjectSettings, *, s3: S3Client, hooks: ChannelHooks | None = None
    ) -> None:
        super().__init__(config, hooks or ChannelHooks())
        self._folder = ExchangeFolder(s3, settings.bucket, settings.prefix, config.run_id)
        self._settings = settings
        self._pool = ThreadPoolExecutor(settings.threads, thread_name_prefix=f"slot-{config.slot}")
        self._puts = Background(self._pool)
        self._sent: dict[Tag, dict[int, Outgoing]] = {}
        self._relays = Relays(config.slot)
        self._prefix = f"{settings.prefix}{config.attempt}-{config.epoch}/"
        self._reader = ObjectReader(s3, settings.bucket, config.slot, self.max_payload + OVERHEAD_BYTES)
        self._schedules: dict[int | None, Schedule] = {}
        self._schedule = Schedule(settings.waiting)
        self._abort = Backoff(settings.abort_waiting, 0.0)
        self._abort_asked_s = self.hooks.clock()

    @property
    def max_payload(self) -> int:
        """Largest payload of one frame, in bytes: a message is never cut."""
        return self.config.max_payload_bytes

    def _name(self, source: int, tag: Tag) -> str:
        if tag.step == ABORT:
            return f"{self._prefix}abort"
        return f"{self._prefix}{tag.step}/{tag.micro_batch}/{source}"

    def _relayed_name(self, tag: Tag) -> str:
        return f"{self._prefix}{tag.step}/{tag.micro_batch}/all"

    # Sending

    def _put(self, batch: Sequence[Outgoing]) -> None:
        for tag, group in groupby(sorted(batch, key=tag_of), tag_of):
            frames = list(group)
            if self._relays.is_collecting(tag) and len(pack_parcel(frames)) <= MOST_OBJECT_BYTES:
                self._relays.collected(tag).add(frames, self.config.slot)
            else:
                self._put_parcel(tag, frames)

    def _put_parcel(self, tag: Tag, frames: Sequence[Outgoing]) -> None:
        """Put what is sent under a tag; if something was before, all of it again."""
        parts = self._sent.pop(tag, {})
        if parts:
            self._puts.wait()
        parts.update({frame.key.destination: frame for frame in frames})
        self._sent[tag] = parts
        while len(self._sent) > KEPT_TAGS or (len(self._sent) > 1 and _bytes(self._sent) > KEPT_BYTES):
            del self._sent[next(iter(self._sent))]
        self._start_put(self._name(self.config.slot, tag), list(parts.values()))

    def _start_put(self, name: str, frames: Sequence[Outgoing]) -> None:
        self._puts.start(self._folder.put, name, pack_stamped(frames, self.hooks.clock()))

    def _price(self, batch: Sequence[Outgoing]) -> list[tuple[str, int]]:
        by_tag = groupby(sorted(batch, key=tag_of), tag_of)
        return [("s3:PutObject", len(pack_stamped(list(frames), self.hooks.clock()))) for _, frames in by_tag]

    def relay(self, tag: Tag, slot: int, sources: Sequence[int], on: Sequence[str] = RELAYING) -> None:
        """As the base class has it. What a source has that is large, readers get from it directly."""
        if self._settings.relays and "object" in on:
            self._relays.begin(tag, slot, sources)

    def hand_on(self, tag: Tag) -> None:
        """Wait until every source has put its parcel; put what is in them for others, and the own frames, as one.

        Once: what comes later is asked for where it is.
        """
        if tag not in self._relays.by_tag:
            return
        self._raise_if_over()
        if tag in self._relays.handed:
            self._relays.by_tag.pop(tag, None)
            return
        collected = self._relays.collected(tag)
        self._wait_until(lambda: not collected.missing, collected.missing, tag)
        self._start_put(self._relayed_name(tag), self._relays.end(tag))

    # Receiving

    def _poll(self, expected: Sequence[Key], timeout_s: float) -> Sequence[Incoming]:
        with self._calling():
            self._puts.wait()  # ranks go in step: when the own object is there, the others' mostly are
        until = self.hooks.clock() + timeout_s
        while asked := self._asked(expected):
            self._begin(asked)
            if (found := self._ask(asked)) or (now := self.hooks.clock()) >= until:
                return found
            self.hooks.sleep(max(0.0, min(self._schedule.due_s, self._abort.due_s, until) - now))
        return []

    def _begin(self, asked: Sequence[Key]) -> None:
        """There is a schedule for what sources send, one for what this slot hands on, and one for what another does."""
        relay = self._relays.by_tag.get(asked[0].tag)
        self._schedule = self._schedules.setdefault(relay, Schedule(self._settings.waiting))
        now, settings = self.hooks.clock(), self._settings
        if self._schedule.begin(asked, now):
            due_s = min(now + settings.abort_waiting.start_s, self._abort_asked_s + settings.abort_s)
            self._abort = Backoff(settings.abort_waiting, due_s)

    def _asked(self, expected: Sequence[Key]) -> list[Key]:
        """What to ask for, each once."""
        keys = (self._source_of(key) for key in expected)
        return list(dict.fromkeys(key for key in keys if key is not None))

    def _source_of(self, key: Key) -> Key | None:
        """What to ask for instead: where another slot hands on, what it makes; where this one does, what is missing."""
        relay, me = self._relays.by_tag.get(key.tag), self.config.slot
        if relay is None or (relay == me and key.source in self._relays.collected(key.tag).missing):
            return key
        return None if relay == me else Key(relay, me, key.tag)

    def _ask(self, expected: Sequence[Key]) -> list[Incoming]:
        now = self.hooks.clock()
        with self._calling():
            found = self._ask_abort() if self._abort.due_s <= now else []
            return found + (self._ask_expected(expected) if self._schedule.due_s <= now else [])

    def _ask_abort(self) -> list[Incoming]:
        notice = self._reader.read(self._name(self.config.slot, Tag(ABORT)))
        self._abort_asked_s = self.hooks.clock()
        self._abort.missed(self._abort_asked_s)
        return [Incoming(frame) for _, frame in notice.frames] if notice else []

    def _ask_expected(self, expected: Sequence[Key]) -> list[Incoming]:
        sentinel, asked_s = self._schedule.sentinel(expected), self.hooks.clock()
        first = self._read(sentinel)
        if first is None:
            self._schedule.missed(sentinel, asked_s, self.hooks.clock())
            return []
        others = [key for key in expected if key != sentinel]
        answers = list(self._pool.map(self._read, others))
        late = [key.source for key, answer in zip(others, answers, strict=True) if answer is None]
        there = [first, *(answer for answer in answers if answer is not None)]
        self._schedule.found([answer for answer, _ in there], late, self.hooks.clock())
        return [Incoming(frame) for _, frames in there for frame in frames]

    def _read(self, key: Key) -> tuple[Answer, list[bytes]] | None:
        """The frames for this slot of what a key names; None if it is not there yet."""
        asked_s = self.hooks.clock()
        found = self._look(key)
        if found is None:
            return None
        return Answer(key.source, asked_s, found.put_s), [
            frame for slot, frame in found.frames if slot == self.config.slot
        ]

    def _look(self, key: Key) -> Found | None:
        relay, name = self._relays.by_tag.get(key.tag), self._name(key.source, key.tag)
        if relay is None:
            return self._reader.read(name, key.source)
        if relay == self.config.slot:
            return self._collect(key, name)
        found = self._reader.read_all(self._relayed_name(key.tag))
        if found is not None:
            del self._relays.by_tag[key.tag]  # what is not in it is asked for directly
        return found

    def _collect(self, key: Key, name: str) -> Found | None:
        found = self._reader.read_for_all(name, key.source, MOST_OBJECT_BYTES)
        if found is not None:
            parts = [(slot, data) for slot, data in found.frames if slot != self.config.slot]
            others = [Outgoing(Key(key.source, slot, key.tag), data) for slot, data in parts]
            self._relays.collected(key.tag).add(others, key.source)
        return found

    # Ending

    def _drain(self) -> None:
        self._puts.wait()

    def _dispose(self) -> None:
        self._pool.shutdown(wait=True)

    def cleanup(self) -> None:
        """Delete every object that the run exchanged, of all attempts.

        Raises:
            TransportError: if the service refuses it after all retries.
        """
        self._folder.clear(self._settings.backoff, self.hooks.sleep)


def _bytes(sent: Mapping[Tag, Mapping[int, Outgoing]]) -> int:
    return sum(len(frame.data) for parts in sent.values() for frame in parts.values())
