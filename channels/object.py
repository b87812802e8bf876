"""Channel over S3: an object per message, fetched by its exact name; nothing is ever listed on the way.

Latency: 20 to 100 ms a message. Price: a PUT 5e-6 USD and a GET 4e-7 USD a message, misses included; bytes are free
within a region. Best for large messages.

S3 answers 403 instead of 404 for a missing object unless the role may s3:ListBucket under the prefix: grant it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from channels.base import Channel
from channels.config import ChannelConfig, ChannelHooks
from channels.errors import ConfigError
from channels.frame import OVERHEAD_BYTES
from channels.retry import Backoff, Failure, send_in_parts, service_errors
from channels.schedule import Schedule, Waiting
from channels.tags import ABORT
from channels.transport import Incoming, Key, Outgoing

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

DELETE_BATCH = 1000
MISSING = ("NoSuchKey", "404")


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
    backoff: Backoff = field(default_factory=Backoff)


class ObjectChannel(Channel):
    """One slot's end of a run's exchange prefix."""

    def __init__(
        self, config: ChannelConfig, settings: ObjectSettings, *, s3: S3Client, hooks: ChannelHooks | None = None
    ) -> None:
        super().__init__(config, hooks or ChannelHooks())
        if f"/{config.run_id}/" not in settings.prefix or not settings.prefix.endswith("/"):
            raise ConfigError(f"exchange prefix: expected one of run {config.run_id} alone, got {settings.prefix!r}")
        self._s3 = s3
        self._settings = settings
        self._pool = ThreadPoolExecutor(settings.threads, thread_name_prefix=f"slot-{config.slot}")
        self._schedule = Schedule()
        self._prefix = f"{settings.prefix}{config.attempt}-{config.epoch}/"
        self._abort_name = self._abort_name_of(config.slot)

    @property
    def max_payload(self) -> int:
        """Largest payload of one frame, in bytes: a message is never cut."""
        return self.config.max_payload_bytes

    def _name(self, key: Key) -> str:
        if key.tag.step == ABORT:
            return self._abort_name_of(key.destination)
        return f"{self._prefix}{key.tag.step}/{key.tag.micro_batch}/{key.source}-{key.destination}"

    def _abort_name_of(self, slot: int) -> str:
        return f"{self._prefix}abort/{slot}"

    def _put(self, batch: Sequence[Outgoing]) -> None:
        if len(batch) == 1:
            self._put_one(batch[0])
        else:
            list(self._pool.map(self._put_one, batch))

    def _price(self, batch: Sequence[Outgoing]) -> list[tuple[str, int]]:
        return [("s3:PutObject", len(message.data)) for message in batch]

    def _put_one(self, message: Outgoing) -> None:
        with service_errors("s3 put_object"):
            self._s3.put_object(Bucket=self._settings.bucket, Key=self._name(message.key), Body=message.data)

    def _poll(self, expected: Sequence[Key], timeout_s: float) -> Sequence[Incoming]:
        names = [*map(self._name, expected), self._abort_name]
        clock = self.hooks.clock
        until = clock() + timeout_s
        self._delay_first_abort_check()
        while not (found := self._get_due(names)) and (now := clock()) < until:
            self.hooks.sleep(min(self._schedule.wait_s(names, now), until - now))
        return found

    def _delay_first_abort_check(self) -> None:
        if self._abort_name not in self._schedule.due_s:
            self._asked(self._abort_name)

    def _get_due(self, names: Sequence[str]) -> list[Incoming]:
        due = self._schedule.due(names, self.hooks.clock())
        answers = [self._get(due[0])] if len(due) == 1 else self._pool.map(self._get, due)
        found = [Incoming(data) for data in answers if data is not None]
        for name in due:
            self._asked(name)
        return found

    def _asked(self, name: str) -> None:
        waiting = self._settings.abort_waiting if name == self._abort_name else self._settings.waiting
        self._schedule.asked(name, self.hooks.clock(), waiting)

    def _get(self, name: str) -> bytes | None:
        """Return an object's bytes; None if it is not there; nothing of one that is too large to be a frame."""
        with service_errors(f"s3 get_object {name}"):
            try:
                response = self._s3.get_object(Bucket=self._settings.bucket, Key=name)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") in MISSING:
                    return None
                raise
            with response["Body"] as body:
                return body.read() if response["ContentLength"] <= self.max_payload + OVERHEAD_BYTES else b""

    def _dispose(self) -> None:
        self._pool.shutdown(wait=True)

    def cleanup(self) -> None:
        """Delete every object that the run exchanged, of all attempts.

        Raises:
            TransportError: if the service refuses it after all retries.
        """
        for names in self._pages():
            send_in_parts("s3 delete_objects", names, self._delete_once, self._settings.backoff, self.hooks.sleep)

    def _pages(self) -> Iterator[list[str]]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._settings.bucket, Prefix=self._settings.prefix, PaginationConfig={"PageSize": DELETE_BATCH}
        )
        with service_errors(f"s3 list_objects_v2 {self._settings.prefix}"):
            for page in pages:
                if names := [entry["Key"] for entry in page.get("Contents", [])]:
                    yield names

    def _delete_once(self, names: Sequence[str]) -> Sequence[Failure]:
        with service_errors("s3 delete_objects"):
            response = self._s3.delete_objects(
                Bucket=self._settings.bucket, Delete={"Objects": [{"Key": name} for name in names], "Quiet": True}
            )
        return [Failure(names.index(e["Key"]), e.get("Code", "unknown")) for e in response.get("Errors", [])]
