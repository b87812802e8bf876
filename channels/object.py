"""Channel over S3: an object per rank and step, of which each target reads its part; nothing is listed on the way.

Latency: 20 to 100 ms a message. Price: a PUT 5e-6 USD for all targets of a send, a GET 4e-7 USD a message, misses
included; bytes are free within a region. Best for large messages.

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
from channels.base import Channel
from channels.config import ChannelConfig, ChannelHooks
from channels.exchange_folder import ExchangeFolder
from channels.frame import OVERHEAD_BYTES
from channels.object_reader import ObjectReader
from channels.parcel import pack_parcel
from channels.schedule import Backoff, Schedule, Waiting
from channels.tags import ABORT, Tag
from channels.transport import Incoming, Key, Outgoing

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
    waiting, abort_waiting: for a message; for the notice that the run is over.
    """

    bucket: str
    prefix: str
    threads: int = 8
    waiting: Waiting = field(default_factory=Waiting)
    abort_waiting: Waiting = field(default_factory=lambda: Waiting(start_s=0.5, cap_s=2.0))
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
        self._prefix = f"{settings.prefix}{config.attempt}-{config.epoch}/"
        self._reader = ObjectReader(s3, settings.bucket, config.slot, self.max_payload + OVERHEAD_BYTES)
        self._schedule = Schedule(settings.waiting)
        self._abort = Backoff(settings.abort_waiting, self.hooks.clock())
        self._abort.missed(self.hooks.clock())

    @property
    def max_payload(self) -> int:
        """Largest payload of one frame, in bytes: a message is never cut."""
        return self.config.max_payload_bytes

    def _name(self, source: int, tag: Tag) -> str:
        if tag.step == ABORT:
            return f"{self._prefix}abort"
        return f"{self._prefix}{tag.step}/{tag.micro_batch}/{source}"

    # Sending

    def _put(self, batch: Sequence[Outgoing]) -> None:
        for tag, frames in groupby(sorted(batch, key=_tag), _tag):
            self._put_parcel(tag, list(frames))

    def _put_parcel(self, tag: Tag, frames: Sequence[Outgoing]) -> None:
        """Put what is sent under a tag; if something was before, all of it again."""
        parts = self._sent.pop(tag, {})
        if parts:
            self._puts.wait()
        parts.update({frame.key.destination: frame for frame in frames})
        self._sent[tag] = parts
        while len(self._sent) > KEPT_TAGS or (len(self._sent) > 1 and _bytes(self._sent) > KEPT_BYTES):
            del self._sent[next(iter(self._sent))]
        self._puts.start(self._folder.put, self._name(self.config.slot, tag), pack_parcel(list(parts.values())))

    def _price(self, batch: Sequence[Outgoing]) -> list[tuple[str, int]]:
        by_tag = groupby(sorted(batch, key=_tag), _tag)
        return [("s3:PutObject", len(pack_parcel(list(frames)))) for _, frames in by_tag]

    # Receiving

    def _poll(self, expected: Sequence[Key], timeout_s: float) -> Sequence[Incoming]:
        with self._calling():
            self._puts.wait()  # ranks go in step: when the own object is there, the others' mostly are
        until = self.hooks.clock() + timeout_s
        self._schedule.begin(expected, self.hooks.clock())
        while not (found := self._ask(expected)) and (now := self.hooks.clock()) < until:
            self.hooks.sleep(max(0.0, min(self._schedule.due_s, self._abort.due_s, until) - now))
        return found

    def _ask(self, expected: Sequence[Key]) -> list[Incoming]:
        now = self.hooks.clock()
        with self._calling():
            found = self._ask_abort() if self._abort.due_s <= now else []
            return found + (self._ask_expected(expected) if self._schedule.due_s <= now else [])

    def _ask_abort(self) -> list[Incoming]:
        notice = self._reader.read(self._name(self.config.slot, Tag(ABORT)))
        self._abort.missed(self.hooks.clock())
        return [] if notice is None else [Incoming(notice)]

    def _ask_expected(self, expected: Sequence[Key]) -> list[Incoming]:
        sentinel = self._schedule.sentinel(expected)
        first = self._read(sentinel)
        self._schedule.asked(sentinel, first is not None, self.hooks.clock())
        if first is None:
            return []
        others = [key for key in expected if key != sentinel]
        answers = list(self._pool.map(self._read, others))
        late = [key for key, frame in zip(others, answers, strict=True) if frame is None]
        self._schedule.missing(late, self.hooks.clock())
        return [Incoming(frame) for frame in (first, *answers) if frame is not None]

    def _read(self, key: Key) -> bytes | None:
        return self._reader.read(self._name(key.source, key.tag), key.source)

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


def _tag(frame: Outgoing) -> Tag:
    return frame.key.tag
