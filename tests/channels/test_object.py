"""What is particular to the object channel: exact names, waiting, and cleaning up."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from channels.config import ChannelConfig, ChannelHooks
from channels.errors import ChannelTimeout, ConfigError, TransportError
from channels.object import ObjectChannel, ObjectSettings
from channels.schedule import Schedule, Waiting
from channels.tags import Tag
from tests.channels.conftest import Clients

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

pytestmark = pytest.mark.timeout(60)
KEY = b"0123456789abcdef"


def config(slot: int, run_id: str) -> ChannelConfig:
    """Identify a slot of a run that lives for 20 s."""
    return ChannelConfig(run_id, 0, 1, slot, 2, KEY, time.monotonic() + 20, poll_s=0.05)


def exchange(bucket: str, run_id: str) -> ObjectSettings:
    """Say where a run's messages are kept."""
    return ObjectSettings(bucket, f"runs/{run_id}/x/")


def names(cloud: Clients, bucket: str, prefix: str) -> list[str]:
    return [o["Key"] for o in cloud.s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])]


def test_cleanup_removes_all_attempts_of_this_run_only(cloud: Clients, bucket: str) -> None:
    mine, other = "1" * 32, "2" * 32
    first = config(0, mine)
    for identity in (first, replace(first, attempt=1), config(0, other)):
        channel = ObjectChannel(identity, exchange(bucket, identity.run_id), s3=cloud.s3)
        channel.send_many([(1, Tag(step), np.zeros(3)) for step in range(3)])
        channel.close()
    cloud.s3.put_object(Bucket=bucket, Key=f"runs/{mine}/result.json", Body=b"{}")
    last = ObjectChannel(first, exchange(bucket, mine), s3=cloud.s3)
    for _ in range(2):
        last.cleanup()
    last.close()
    assert names(cloud, bucket, f"runs/{mine}/") == [f"runs/{mine}/result.json"]
    assert len(names(cloud, bucket, f"runs/{other}/")) == 3


def test_closing_deletes_nothing(cloud: Clients, bucket: str) -> None:
    run = "3" * 32
    channel = ObjectChannel(config(0, run), exchange(bucket, run), s3=cloud.s3)
    channel.send(1, Tag(5, 2), np.zeros(3))
    channel.close()
    assert names(cloud, bucket, f"runs/{run}/") == [f"runs/{run}/x/0-1/5/2/0-1"]


def test_waiting_backs_off_by_the_clock_it_is_given(cloud: Clients, bucket: str) -> None:
    slept: list[float] = []
    hooks = ChannelHooks(clock=lambda: sum(slept), sleep=slept.append)
    identity = replace(config(1, "4" * 32), deadline=3.0, poll_s=1.0)
    channel = ObjectChannel(identity, exchange(bucket, identity.run_id), s3=cloud.s3, hooks=hooks)
    with pytest.raises(ChannelTimeout):
        channel.recv(0, Tag(1))
    channel.close()
    assert slept[0] <= 0.005
    assert max(slept) <= 0.2
    assert 15 <= len(slept) <= 60


def test_each_key_backs_off_by_itself() -> None:
    schedule, waiting = Schedule(), Waiting(start_s=1.0, cap_s=4.0)
    for _ in range(4):
        schedule.asked("old", 0.0, waiting)
    assert schedule.due(["old", "new"], 0.0) == ["new"]
    assert schedule.wait_s(["old", "new"], 0.0) == 0.0
    schedule.asked("new", 0.0, waiting)
    assert 0.5 <= schedule.wait_s(["old", "new"], 0.0) <= 1.0
    assert schedule.due(["old", "new"], 4.0) == ["old", "new"]


def test_a_bucket_that_is_not_there_is_a_typed_error(cloud: Clients) -> None:
    channel = ObjectChannel(config(0, "5" * 32), exchange("no-such-bucket", "5" * 32), s3=cloud.s3)
    with pytest.raises(TransportError, match="s3 put_object"):
        channel.send(1, Tag(1), np.zeros(3))
    with pytest.raises(TransportError, match="s3 get_object"):
        channel.recv(1, Tag(1))
    channel.close()


def test_an_object_too_large_to_be_a_frame_is_not_read(cloud: Clients, bucket: str) -> None:
    run = "6" * 32
    cloud.s3.put_object(Bucket=bucket, Key=f"runs/{run}/x/0-1/1/0/0-1", Body=bytes(5000))
    identity = replace(config(1, run), deadline=time.monotonic() + 0.3, max_message_bytes=1000)
    channel = ObjectChannel(identity, exchange(bucket, identity.run_id), s3=cloud.s3)
    with pytest.raises(ChannelTimeout):
        channel.recv(0, Tag(1))
    assert channel.stats.rejected >= 1
    channel.close()


@pytest.mark.parametrize("prefix", ["", "runs/", f"runs/{'7' * 32}", f"runs/{'8' * 32}/x/"])
def test_a_prefix_that_is_not_the_runs_own_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigError, match="exchange prefix"):
        ObjectChannel(config(0, "7" * 32), ObjectSettings("bucket", prefix), s3=cast("S3Client", None))
