"""A stage with a directory bucket: ranks exchange by it, all else stays in the stage's bucket, and both are cleaned."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders

from channels.tags import Tag
from costs.calls import CallCount
from costs.meter import Meter
from engine.cache import ShardCache
from runs.aws import LazyClients
from runs.objects import Objects
from runs.record import RunFiles
from runs.service import Service
from runs.settings import read_settings
from runs.start import StartMessage
from runs.wire import Body
from runs.wiring import open_channel
from tests.runs.fakes import SETTINGS, Clock, FakeClients, FakeS3

EXPRESS = "stage--use1-az4--x-s3"
RUN = "c" * 32
SESSION = (
    b"<CreateSessionResult><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>S</SecretAccessKey>"
    b"<SessionToken>T</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></CreateSessionResult>"
)


class Buckets:
    """S3 with a memory for each bucket."""

    def __init__(self) -> None:
        self.by_name = {name: FakeS3(Clock()) for name in (SETTINGS.bucket, EXPRESS)}

    def put_object(self, Bucket: str, **rest: Any) -> Any:
        return self.by_name[Bucket].put_object(**rest)

    def get_paginator(self, _operation: str) -> Buckets:
        return self

    def paginate(self, Bucket: str, Prefix: str) -> Any:
        assert Prefix.endswith("/"), "what a directory bucket demands"
        return self.by_name[Bucket].paginate(Prefix)

    def delete_objects(self, Bucket: str, **rest: Any) -> Any:
        return self.by_name[Bucket].delete_objects(**rest)

    def names(self, bucket: str) -> set[str]:
        return set(self.by_name[bucket].held)


def service(buckets: Buckets, express_bucket: str) -> Service:
    settings = replace(SETTINGS, express_bucket=express_bucket)
    return Service(settings, FakeClients(buckets, None, None, None), Meter(), ShardCache(1))


def start(channel: str) -> StartMessage:
    return StartMessage(RUN, 1, 0, 7, 0, 2, "bundle", channel, "usd", time.time() + 20, "00" * 16)


@pytest.mark.parametrize("bucket", [EXPRESS, ""])
def test_objects_are_exchanged_by_the_directory_bucket_where_there_is_one(bucket: str) -> None:
    buckets = Buckets()
    channel = open_channel(service(buckets, bucket), start("object"))
    channel.send(1, Tag(3), np.arange(9.0))
    channel.flush()
    channel.close()
    used = bucket or SETTINGS.bucket
    assert [name for name in buckets.by_name if buckets.names(name)] == [used]
    assert all(key.startswith(f"runs/{RUN}/x/") for key in buckets.names(used))


@pytest.mark.parametrize("sweep", [RunFiles.sweep, RunFiles.sweep_ended, RunFiles.sweep_sent])
def test_the_clean_up_of_a_run_empties_both_buckets_of_it_alone(sweep: Any) -> None:
    buckets = Buckets()
    other = f"runs/{'d' * 32}/x/1-7/0/3"
    for name, fake in buckets.by_name.items():
        Objects(cast(Any, fake), name).put(f"runs/{RUN}/x/1-7/0/3", b"1")
        Objects(cast(Any, fake), name).put(other, b"1")
    Objects(cast(Any, buckets), SETTINGS.bucket).put(f"runs/{RUN}/record.json", b"{}")
    sweep(service(buckets, EXPRESS).files(RUN))
    assert buckets.names(SETTINGS.bucket) == {other, f"runs/{RUN}/record.json"}
    assert buckets.names(EXPRESS) == {other}


def test_settings_name_the_directory_bucket_and_need_none() -> None:
    environment = {
        "FSD_STAGE": "s",
        "FSD_BUCKET": "b",
        "FSD_LANES": "1",
        "FSD_RANKS": "2",
        "FSD_TOPIC_0": "t-lane-0",
        "FSD_QUEUE_0_0": "q-lane-0-slot-0",
        "FSD_INFER_FUNCTION": "i",
        "FSD_WORKER_FUNCTION": "w",
        "FSD_LINE_QUEUE": "l",
    }
    assert read_settings(environment).exchange_bucket == "b"
    assert read_settings({**environment, "FSD_EXPRESS_BUCKET": ""}).exchange_bucket == "b"
    assert read_settings({**environment, "FSD_EXPRESS_BUCKET": EXPRESS}).exchange_bucket == EXPRESS


def test_functions_reach_it_by_its_zone_and_with_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "t",
        "AWS_SECRET_ACCESS_KEY": "t",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    meter, sent = Meter(), list[tuple[str, str]]()
    s3 = LazyClients(meter).s3

    def answer(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        sent.append((request.url, request.headers.get("x-amz-s3session-token", "")))
        body = SESSION if request.url.endswith("?session") else b""
        return AWSResponse(request.url, 200, HTTPHeaders(), cast(Any, Body(body)))

    s3.meta.events.register("before-send.s3", cast(Any, answer))
    for key in ("a", "b"):
        s3.put_object(Bucket=EXPRESS, Key=key, Body=b"abc")
    host = f"https://{EXPRESS}.s3express-use1-az4.us-east-1.amazonaws.com"
    assert sent == [(f"{host}/?session", ""), (f"{host}/a", b"T"), (f"{host}/b", b"T")]
    assert meter.snapshot() == {
        "s3express:CreateSession": CallCount(1, 1, 0),
        "s3express:PutObject": CallCount(2, 2, 6),
    }
