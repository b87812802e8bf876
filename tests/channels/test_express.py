"""The object channel on S3 Express One Zone: what a directory bucket does otherwise, in a stub of the client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from botocore.exceptions import ClientError

from channels.config import ChannelConfig
from channels.object import ObjectChannel, ObjectSettings
from channels.tags import Tag
from costs import CallCount, Meter, attach, make_bill

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

BUCKET = "exchange--use1-az4--x-s3"


class DirectoryBucket:
    """Objects in memory. Lists in no order, and only under prefixes that end with a delimiter."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put_object(self, Bucket: str, Key: str, Body: bytes) -> None:
        """Keep an object."""
        assert Bucket == BUCKET
        self.objects[Key] = Body

    def get_object(self, Bucket: str, Key: str, Range: str) -> dict[str, Any]:
        """A range of an object."""
        assert Bucket == BUCKET
        if Key not in self.objects:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        first, last = map(int, Range.removeprefix("bytes=").split("-"))
        return {"Body": BytesIO(self.objects[Key][first : last + 1])}

    def get_paginator(self, name: str) -> DirectoryBucket:
        """The paginator of list_objects_v2."""
        assert name == "list_objects_v2"
        return self

    def paginate(self, Bucket: str, Prefix: str, PaginationConfig: dict[str, int]) -> Iterator[dict[str, Any]]:
        """Pages of names, last first."""
        assert (Bucket, Prefix[-1]) == (BUCKET, "/")
        names = [name for name in reversed(list(self.objects)) if name.startswith(Prefix)]
        for start in range(0, len(names), PaginationConfig["PageSize"]):
            yield {"Contents": [{"Key": name} for name in names[start : start + PaginationConfig["PageSize"]]]}

    def delete_objects(self, Bucket: str, Delete: dict[str, Any]) -> dict[str, Any]:
        """Remove objects."""
        assert Bucket == BUCKET
        for entry in Delete["Objects"]:
            del self.objects[entry["Key"]]
        return {}


def test_ranks_exchange_through_a_directory_bucket_and_leave_nothing() -> None:
    run, s3 = "b" * 32, DirectoryBucket()
    me = ChannelConfig(run, 0, 1, 0, 3, b"0123456789abcdef", time.monotonic() + 20, poll_s=0.05)
    settings = ObjectSettings(BUCKET, f"runs/{run}/x/")
    ends = [ObjectChannel(replace(me, slot=slot), settings, s3=cast("S3Client", s3)) for slot in range(3)]
    for step in range(5):
        ends[0].send_many([(slot, Tag(step), np.full(9, slot + step)) for slot in (1, 2)])
        for slot in (1, 2):
            assert np.asarray(ends[slot].recv(0, Tag(step))).tolist() == [slot + step] * 9
    assert len(s3.objects) == 5
    ends[0].cleanup()
    assert not s3.objects
    for end in ends:
        end.close()


class Events:
    """Where the hook's handlers end up."""

    def __init__(self) -> None:
        self.handlers: dict[str, Callable[..., Any]] = {}

    def register(self, event_name: str, handler: Callable[..., Any], unique_id: str) -> None:
        """Keep a handler."""
        assert unique_id
        self.handlers[event_name] = handler

    def call(self, operation: str, bucket: str, headers: dict[str, str], size: int) -> None:
        """One attempt at an operation of S3, answered with `size` bytes."""
        request = type("Request", (), {"context": {}, "headers": headers, "data": b""})()
        self.handlers["before-parameter-build.s3"](params={"Bucket": bucket}, context=request.context)
        self.handlers["request-created.s3"](request=request, operation_name=operation)
        self.handlers["response-received.s3"](
            response_dict={"status_code": 200, "headers": {"content-length": str(size)}},
            parsed_response={},
            context=request.context,
            event_name=f"response-received.s3.{operation}",
        )


@pytest.mark.parametrize(("bucket", "service"), [(BUCKET, "s3express"), ("plain", "s3")])
def test_calls_of_a_directory_bucket_are_counted_apart(bucket: str, service: str) -> None:
    meter, events = Meter(), Events()
    attach(events, meter)
    events.call("PutObject", bucket, {"Content-Length": "700"}, 0)
    events.call("GetObject", bucket, {}, 300)
    assert meter.snapshot() == {
        f"{service}:GetObject": CallCount(1, 1, 300),
        f"{service}:PutObject": CallCount(1, 1, 700),
    }


def test_one_zone_is_billed_by_request_and_by_byte() -> None:
    calls = {
        "s3express:PutObject": CallCount(10, 10, 1 << 30),
        "s3express:GetObject": CallCount(100, 100, 1 << 29),
        "s3express:CreateSession": CallCount(2, 2, 0),
        "s3express:ListObjectsV2": CallCount(1, 1, 0),
        "s3express:DeleteObjects": CallCount(5, 5, 0),
    }
    by_hand = 11 * 1.13e-6 + 102 * 3e-8 + 1 * 3.2e-3 + 0.5 * 6e-4
    bill = make_bill(calls, ())
    assert bill.usd["s3"] == pytest.approx(by_hand, rel=1e-12)
    assert bill.total == bill.usd["s3"]
