"""AWS in memory, as far as one process's share of a run goes: conditional writes, and a clock that a test moves."""

from __future__ import annotations

import email.utils
import io
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from costs.meter import Meter
from engine.cache import ShardCache
from runs.service import Service
from runs.settings import Settings

SETTINGS = Settings("s", "bucket", 1, 16, "arn:topic", "http://queue", "infer", "worker", line_queue="http://line")


@dataclass
class Clock:
    """Seconds since 1970, as a test wants them."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class _Held:
    data: bytes
    etag: str
    at: float


@dataclass
class FakeS3:
    """One bucket.

    lose: the next conditional write succeeds, but its answer is lost, and the SDK's retry finds it written.
    """

    clock: Clock
    held: dict[str, _Held] = field(default_factory=dict)
    lose: bool = False
    tags: Iterator[int] = field(default_factory=itertools.count)

    class exceptions:
        """The errors that are told apart."""

        class NoSuchKey(ClientError):
            """No such object."""

    def put_object(self, Key: str, Body: bytes, **condition: str) -> dict[str, Any]:
        condition.pop("Bucket", "")
        there = self.held[Key].etag if Key in self.held else None
        if ("IfNoneMatch" in condition and there is not None) or condition.get("IfMatch", there) != there:
            raise _error("PreconditionFailed")
        self.held[Key] = _Held(bytes(Body), f"v{next(self.tags)}", self.clock())
        lost, self.lose = self.lose, False
        if lost:
            raise _error("PreconditionFailed")
        return {"ETag": self.held[Key].etag}

    def upload_file(self, filename: str, _bucket: str, key: str) -> None:
        self.put_object(key, Path(filename).read_bytes())

    def get_object(self, Key: str, **_: object) -> dict[str, Any]:
        if Key not in self.held:
            raise self.exceptions.NoSuchKey({"Error": {"Code": "NoSuchKey", "Message": Key}}, "GetObject")
        found = self.held[Key]
        date = email.utils.formatdate(self.clock(), usegmt=True)
        return {
            "Body": io.BytesIO(found.data),
            "ContentLength": len(found.data),
            "ETag": found.etag,
            "LastModified": datetime.fromtimestamp(found.at, UTC),
            "ResponseMetadata": {"HTTPHeaders": {"date": date}},
        }

    def get_paginator(self, _operation: str) -> FakeS3:
        return self

    def paginate(self, Prefix: str, **_: object) -> list[dict[str, Any]]:
        found = [
            {"Key": key, "LastModified": datetime.fromtimestamp(held.at, UTC)}
            for key, held in sorted(self.held.items())
            if key.startswith(Prefix)
        ]
        date = email.utils.formatdate(self.clock(), usegmt=True)
        return [{"Contents": found, "ResponseMetadata": {"HTTPHeaders": {"date": date}}}]

    def delete_objects(self, Delete: dict[str, Any], **_: object) -> dict[str, Any]:
        for entry in Delete["Objects"]:
            self.held.pop(entry["Key"], None)
        return {}

    def delete_object(self, Key: str, **_: object) -> None:
        self.held.pop(Key, None)

    def names(self, prefix: str) -> set[str]:
        """What is under a prefix, without it."""
        return {key.removeprefix(prefix) for key in self.held if key.startswith(prefix)}

    def json(self, key: str) -> Any:
        """A document of the bucket."""
        return json.loads(self.held[key].data)


@dataclass
class FakeCalls:
    """Lambda and SQS: notes what was sent."""

    invoked: list[dict[str, Any]] = field(default_factory=list)
    queued: list[dict[str, Any]] = field(default_factory=list)

    def invoke(self, Payload: bytes, **_: object) -> dict[str, Any]:
        self.invoked.append(json.loads(Payload))
        return {"StatusCode": 202}

    def get_account_settings(self) -> dict[str, Any]:
        return {"AccountLimit": {"UnreservedConcurrentExecutions": 1000}}

    def send_message(self, MessageBody: str, DelaySeconds: int, **_: object) -> None:
        self.queued.append({"body": json.loads(MessageBody), "delay_s": DelaySeconds})


def _error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}}, "FakeS3")


@dataclass(frozen=True)
class FakeClients:
    """What stands where AWS does; what a test does not need may be None."""

    s3: Any
    sns: Any
    sqs: Any
    functions: Any


def fake_service(s3: FakeS3, calls: FakeCalls) -> Service:
    """A function environment over these."""
    return Service(SETTINGS, FakeClients(s3, None, calls, calls), Meter(), ShardCache(1 << 24))
