"""A small cloud for the channel tests, and each channel as a fixture that opens its ends."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import boto3
import pytest
from botocore.config import Config

from channels.base import Channel
from channels.config import ChannelConfig, ChannelHooks
from channels.folder import FolderChannel, FolderSettings
from channels.hybrid import HybridChannel, HybridSettings
from channels.memory import MemoryChannel, MemoryHub
from channels.object import ObjectChannel, ObjectSettings
from channels.parcel import frames_in, pack_parcel
from channels.queue import QueueChannel, QueueSettings
from channels.receive import Polling
from channels.tags import Tag
from channels.text import to_text
from channels.transport import Key, Outgoing

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client
    from types_boto3_sns.client import SNSClient
    from types_boto3_sqs.client import SQSClient

ROOT = Path(__file__).parents[2]
MINISTACK = ROOT / ".venv" / "cloud" / "bin" / "ministack"
SLOTS = 3
CHANNELS = ("memory", "folder", "queue", "queue without filters", "object", "hybrid")


@dataclass(frozen=True)
class Clients:
    """Typed clients of one cloud."""

    sns: SNSClient
    sqs: SQSClient
    s3: S3Client


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        if process.poll() is not None:
            raise RuntimeError(f"the embedded cloud ended with status {process.returncode}")
        try:
            urlopen(f"{url}/_ministack/health", timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("the embedded cloud did not become healthy within 30 s")


def _clients(url: str) -> Clients:
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
    config = Config(max_pool_connections=30)
    made: dict[str, Any] = {}
    for name in ("sns", "sqs", "s3"):
        made[name] = session.client(name, endpoint_url=url, config=config)
    return Clients(**made)


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    """Start an embedded cloud for the session; stop it, and nothing else, at the end."""
    if not MINISTACK.exists():
        pytest.skip("no embedded cloud: .venv/cloud is missing, `make setup` builds it")
    folder = tmp_path_factory.mktemp("cloud")
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    environment = dict(
        os.environ, GATEWAY_PORT=str(port), BIND_HOST="127.0.0.1", TMPDIR=str(folder), AWS_ENDPOINT_URL=url
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(MINISTACK)], env=environment, cwd=folder, stdout=log, stderr=log)
        try:
            _wait_until_healthy(url, process)
            yield _clients(url)
        finally:
            process.terminate()
            process.wait(timeout=20)


@pytest.fixture(scope="session")
def lane(cloud: Clients) -> QueueSettings:
    """Make the lane that the tests share, one after the other, as runs do."""
    return make_lane(cloud)


@pytest.fixture
def fresh_lane(cloud: Clients) -> QueueSettings:
    """Make a lane that nobody has used."""
    return make_lane(cloud)


def make_lane(cloud: Clients) -> QueueSettings:
    """Make a topic and a queue per slot, each subscribed to its slot only, as the stack does."""
    name = f"lane-{uuid.uuid4().hex[:8]}"
    topic = cloud.sns.create_topic(Name=name)["TopicArn"]
    urls = tuple(cloud.sqs.create_queue(QueueName=f"{name}-{slot}")["QueueUrl"] for slot in range(SLOTS))
    for slot, url in enumerate(urls):
        arn = cloud.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        attributes = {"RawMessageDelivery": "true", "FilterPolicy": json.dumps({"slot": [str(slot)]})}
        cloud.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=attributes)
    return QueueSettings(topic, urls, polling=Polling(wait_s=1))


@pytest.fixture(scope="session")
def bucket(cloud: Clients) -> str:
    """Make a bucket."""
    name = f"exchange-{uuid.uuid4().hex[:8]}"
    cloud.s3.create_bucket(Bucket=name)
    return name


@dataclass
class Harness:
    """Opens ends of one channel, and puts messages there behind its back.

    make:   opens an end.
    inject: leaves bytes or text for a slot, as a peer or a stranger would; `name` is (source, step, micro_batch).
    epoch:  higher than that of every test before, so that what they left behind is stale.
    opened: ends to close after the test.
    """

    name: str
    make: Callable[[ChannelConfig, ChannelHooks], Channel]
    inject: Callable[[ChannelConfig, tuple[int, int, int], int, bytes | str], None]
    epoch: int
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    opened: list[Channel] = field(default_factory=list)

    def config(self, slot: int, **changes: object) -> ChannelConfig:
        """Return the identity of a slot of this test's run; 20 s to live."""
        fields: dict[str, Any] = {
            "run_id": self.run_id,
            "attempt": 1,
            "epoch": self.epoch,
            "slot": slot,
            "slots": SLOTS,
            "mac_key": b"0123456789abcdef" * 2,
            "deadline": time.monotonic() + 20,
            "poll_s": 0.05,
        }
        return ChannelConfig(**{**fields, **changes})

    def open(self, slot: int, hooks: ChannelHooks | None = None, **changes: object) -> Channel:
        """Open the end of a slot."""
        channel = self.make(self.config(slot, **changes), hooks or ChannelHooks())
        self.opened.append(channel)
        return channel


def in_parcel(slot: int, data: bytes) -> bytes:
    """Pack one frame, or what claims to be one, for a slot."""
    return pack_parcel([Outgoing(Key(0, slot, Tag(0)), data)])


def frames_for(slot: int, data: bytes) -> list[bytes]:
    """The frames of a parcel that are for a slot."""
    return [frame for destination, frame in frames_in(data) if destination == slot]


_EPOCHS = iter(range(10, 1 << 30, 10))  # every test is a later holder of the lane than those before it


def _memory() -> Harness:
    hub = MemoryHub(SLOTS, max_payload=200_000)

    def inject(_config: ChannelConfig, _name: tuple[int, int, int], slot: int, data: bytes | str) -> None:
        hub.put(slot, data)

    return Harness("memory", lambda config, hooks: MemoryChannel(config, hub, hooks=hooks), inject, next(_EPOCHS))


def _folder(path: Path) -> Harness:
    settings = FolderSettings(path, max_payload=200_000)

    def inject(_config: ChannelConfig, _name: tuple[int, int, int], slot: int, data: bytes | str) -> None:
        settings.put(slot, data)

    return Harness("folder", lambda config, hooks: FolderChannel(config, settings, hooks=hooks), inject, next(_EPOCHS))


def _queue(cloud: Clients, lane: QueueSettings) -> Harness:
    def inject(_config: ChannelConfig, _name: tuple[int, int, int], slot: int, data: bytes | str) -> None:
        body = data if isinstance(data, str) else to_text(in_parcel(slot, data))
        cloud.sqs.send_message(QueueUrl=lane.queue_urls[slot], MessageBody=body)

    return Harness(
        "queue",
        lambda config, hooks: QueueChannel(config, lane, sns=cloud.sns, sqs=cloud.sqs, hooks=hooks),
        inject,
        next(_EPOCHS),
    )


def _hybrid(cloud: Clients, lane: QueueSettings, bucket: str) -> Harness:
    def make(config: ChannelConfig, hooks: ChannelHooks) -> Channel:
        settings = HybridSettings(lane, bucket, f"runs/{config.run_id}/x/")
        return HybridChannel(config, settings, sns=cloud.sns, sqs=cloud.sqs, s3=cloud.s3, hooks=hooks)

    return replace(_queue(cloud, lane), name="hybrid", make=make)


def _object(cloud: Clients, bucket: str) -> Harness:
    def make(config: ChannelConfig, hooks: ChannelHooks) -> Channel:
        settings = ObjectSettings(bucket, f"runs/{config.run_id}/x/")
        return ObjectChannel(config, settings, s3=cloud.s3, hooks=hooks)

    def inject(config: ChannelConfig, name: tuple[int, int, int], slot: int, data: bytes | str) -> None:
        source, step, micro_batch = name
        key = f"runs/{config.run_id}/x/{config.attempt}-{config.epoch}/{step}/{micro_batch}/{source}"
        cloud.s3.put_object(
            Bucket=bucket, Key=key, Body=data if isinstance(data, str) else b"\0" + in_parcel(slot, data)
        )

    return Harness(
        "object",
        make,
        inject,
        next(_EPOCHS),
    )


@pytest.fixture(params=CHANNELS)
def harness(request: pytest.FixtureRequest) -> Iterator[Harness]:
    """Give every channel in turn; close what the test opened."""
    if request.param == "memory":
        made = _memory()
    elif request.param == "folder":
        made = _folder(request.getfixturevalue("tmp_path"))
    elif request.param == "queue":
        made = _queue(request.getfixturevalue("cloud"), request.getfixturevalue("lane"))
    elif request.param == "queue without filters":
        made = _queue(request.getfixturevalue("cloud"), replace(request.getfixturevalue("lane"), filters=False))
    elif request.param == "hybrid":
        made = _hybrid(*map(request.getfixturevalue, ("cloud", "lane", "bucket")))
    else:
        made = _object(request.getfixturevalue("cloud"), request.getfixturevalue("bucket"))
    yield made
    for channel in made.opened:
        channel.close()
