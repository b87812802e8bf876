"""What is particular to the object channel: exact names, waiting, and cleaning up."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from botocore.exceptions import ClientError

from channels.config import ChannelConfig, ChannelHooks
from channels.errors import ChannelTimeout, ConfigError, TransportError
from channels.object import ObjectChannel, ObjectSettings
from channels.object_reader import Found, ObjectReader
from channels.schedule import Answer, Schedule, Waiting
from channels.stamped import pack_stamped
from channels.tags import Tag
from channels.transport import Key, Outgoing
from tests.channels.conftest import Clients, in_parcel

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

pytestmark = pytest.mark.timeout(60)
KEY = b"0123456789abcdef"
SLOTS = 4


def config(slot: int, run_id: str) -> ChannelConfig:
    """Identify a slot of a run that lives for 20 s."""
    return ChannelConfig(run_id, 0, 1, slot, SLOTS, KEY, time.monotonic() + 20, poll_s=0.05)


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
    assert names(cloud, bucket, f"runs/{run}/") == [f"runs/{run}/x/0-1/5/2/0"]


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


CLOCK_S = 1000.0  # by which a writer's clock is not the reader's


def keys(step: int, *sources: int) -> list[Key]:
    return [Key(source, 9, Tag(step)) for source in sources]


def asked_at(schedule: Schedule, step: int, arrives_s: float, start_s: float) -> list[float]:
    """When a schedule asks for the message of a step, which comes at that time."""
    schedule.begin(keys(step, 0), start_s)
    times: list[float] = []
    while not times or times[-1] < arrives_s:
        times.append(schedule.due_s)
        if times[-1] < arrives_s:
            schedule.missed(keys(step, 0)[0], times[-1], times[-1])
    schedule.found([Answer(0, times[-1], arrives_s + CLOCK_S)], [], times[-1])
    return times


def test_what_a_step_took_is_waited_before_the_first_question_of_the_next() -> None:
    schedule = Schedule(Waiting(start_s=0.01, cap_s=0.2))
    first = asked_at(schedule, 0, 0.18, 0.0)
    later = [len(asked_at(schedule, step, step + 0.18, float(step))) for step in range(1, 40)]
    assert len(first) > 4
    assert sum(later[10:]) < 4 * len(later[10:])


def test_a_run_that_becomes_faster_is_followed() -> None:
    schedule = Schedule(Waiting())
    for step in range(10):
        asked_at(schedule, step, step + 0.9, float(step))
    lost = [asked_at(schedule, step, step + 0.001, float(step))[-1] - step for step in range(11, 28)]
    assert lost[0] > 0.1
    assert lost[-1] < 0.02


PUT_S, GET_S, STEPS = 0.01, 0.005, 119


def in_step(ranks: int, work_s: float, late_s: float) -> tuple[float, float]:
    """Seconds per step of ranks that wait for each other, and GETs of a rank per step; rank 0 begins `late_s` later."""
    schedules = [Schedule(Waiting()) for _ in range(ranks)]
    dice, gets = random.Random(1), 0
    ready = [late_s * (rank == 0) for rank in range(ranks)]
    for step in range(STEPS):
        ready_before, there = list(ready), [at + PUT_S for at in ready]
        for rank, schedule in enumerate(schedules):
            now, missing = ready[rank], [source for source in range(ranks) if source != rank]
            while missing:
                schedule.begin(keys(step, *missing), now)
                now = max(now, schedule.due_s)
                sentinel = schedule.sentinel(keys(step, *missing))
                gets += 1
                if there[sentinel.source] > now:
                    schedule.missed(sentinel, now, now)
                else:
                    gets += len(missing) - 1
                    found = [source for source in missing if there[source] <= now]
                    missing = [source for source in missing if there[source] > now]
                    put = [Answer(source, now, ready_before[source] + source * CLOCK_S) for source in found]
                    schedule.found(put, missing, now)
                now += GET_S
            ready[rank] = now + work_s * dice.uniform(0.7, 1.3)
    return (max(ready) - late_s) / STEPS, gets / ranks / STEPS


@pytest.mark.parametrize("late_s", [0.0, 5.0])
@pytest.mark.parametrize("work_s", [0.005, 0.03, 0.3])
@pytest.mark.parametrize("ranks", [2, 3, 8])
def test_ranks_that_wait_for_each_other_do_not_teach_each_other_to_wait(
    ranks: int, work_s: float, late_s: float
) -> None:
    random.seed(1)  # of the schedules' jitter
    step_s, gets = in_step(ranks, work_s, late_s)
    slowest_s = work_s * (1.1 if ranks == 2 else 1.2) + PUT_S + GET_S
    assert step_s < 1.4 * slowest_s
    assert gets < ranks - 1 + 6


def test_the_source_that_came_last_is_asked_for_first_and_then_the_others_in_turn() -> None:
    schedule = Schedule(Waiting())
    schedule.begin(keys(1, 0, 1, 2), 0.0)
    schedule.found([Answer(0, 0.0, 0.0), Answer(1, 0.0, 0.0)], [2], 0.0)
    assert schedule.sentinel(keys(1, 2)).source == 2
    schedule.found([Answer(2, 0.1, 0.1)], [], 0.1)
    schedule.begin(keys(2, 0, 1, 2), 1.0)
    asked = []
    for _ in range(4):
        sentinel = schedule.sentinel(keys(2, 0, 1, 2))
        asked.append(sentinel.source)
        schedule.missed(sentinel, 1.0, 1.0)
    assert asked == [2, 0, 1, 2]


def test_of_what_is_all_there_the_one_that_was_put_last_is_asked_for_first_the_next_time() -> None:
    schedule = Schedule(Waiting())
    steps = (((0.0, 0.0, 0.0), 0.0), ((1.0, 1.0, 1.0), 1.0), ((2.0, 2.3, 2.1), 2.4))
    for step, (put, asked) in enumerate(steps):
        schedule.begin(keys(step, 0, 1, 2), asked)
        answers = [Answer(source, asked, at + source * CLOCK_S) for source, at in enumerate(put)]
        schedule.found(answers, [], asked)
    assert schedule.sentinel(keys(3, 0, 1, 2)).source == 1


def test_who_asked_too_late_knows_by_how_much() -> None:
    schedule = Schedule(Waiting(cap_s=0.5), usual_s=0.4)
    late = []
    for step in range(60):
        schedule.begin(keys(step, 0), step)
        while (asked_s := schedule.due_s) < step + 0.1:
            schedule.missed(keys(step, 0)[0], asked_s, asked_s)
        schedule.found([Answer(0, asked_s, step + 0.1 + CLOCK_S)], [], asked_s)
        late.append(asked_s - step - 0.1)
    assert late[0] > 0.25
    assert max(late[-10:]) < 0.03


def test_a_writer_whose_clock_changes_is_followed() -> None:
    for clock_s in (-CLOCK_S, CLOCK_S):
        schedule = Schedule(Waiting())
        lost = []
        for step in range(80):
            put_s = step + 0.1 + (clock_s if step >= 40 else 0.0)
            schedule.begin(keys(step, 0), step)
            asked_s = schedule.due_s
            while asked_s < step + 0.1:
                schedule.missed(keys(step, 0)[0], asked_s, asked_s)
                asked_s = schedule.due_s
            lost.append(asked_s - step - 0.1)
            schedule.found([Answer(0, asked_s, put_s)], [], asked_s)
        assert max(lost[-10:]) < 0.05


def test_an_object_that_does_not_say_when_it_was_put_was_put_when_it_was_found() -> None:
    schedule = Schedule(Waiting())
    for step in range(20):
        schedule.begin(keys(step, 0), step)
        schedule.found([Answer(0, step + 0.1, None)], [], step + 0.1)
    assert schedule.usual_s == pytest.approx(0.1, abs=0.01)


def test_a_bucket_that_is_not_there_is_a_typed_error(cloud: Clients) -> None:
    channel = ObjectChannel(config(0, "5" * 32), exchange("no-such-bucket", "5" * 32), s3=cloud.s3)
    channel.send(1, Tag(1), np.zeros(3))
    with pytest.raises(TransportError, match="s3 put_object"):
        channel.flush()
    with pytest.raises(TransportError, match="s3 get_object"):
        channel.recv(1, Tag(1))
    channel.close()


def test_an_object_too_large_to_be_a_frame_is_not_read(cloud: Clients, bucket: str) -> None:
    run = "6" * 32
    cloud.s3.put_object(Bucket=bucket, Key=f"runs/{run}/x/0-1/1/0/0", Body=b"\0" + in_parcel(1, bytes(5000)))
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


def test_a_send_to_many_is_one_object_of_which_each_reads_its_part(cloud: Clients, bucket: str) -> None:
    run = "9" * 32
    ends = [ObjectChannel(config(slot, run), exchange(bucket, run), s3=cloud.s3) for slot in range(SLOTS)]
    noise = np.random.default_rng(0).random((SLOTS, 200_000))
    ends[0].send_many([(slot, Tag(1), noise[slot]) for slot in range(1, SLOTS)])
    ends[0].flush()
    assert names(cloud, bucket, f"runs/{run}/") == [f"runs/{run}/x/0-1/1/0/0"]
    for slot in range(1, SLOTS):
        got = ends[slot].recv(0, Tag(1))
        assert isinstance(got, np.ndarray)
        assert np.array_equal(got, noise[slot])
    for end in ends:
        end.close()


def test_sends_under_one_tag_do_not_hide_each_other(cloud: Clients, bucket: str) -> None:
    run = "a" * 32
    ends = [ObjectChannel(config(slot, run), exchange(bucket, run), s3=cloud.s3) for slot in range(SLOTS)]
    for slot in range(1, SLOTS):
        ends[0].send(slot, Tag(1), np.full(3, slot))
    for slot in range(1, SLOTS):
        assert np.asarray(ends[slot].recv(0, Tag(1))).tolist() == [slot] * 3
    for end in ends:
        end.close()


class CountingS3:
    """Objects in memory; counts the GETs."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects
        self.ranges: list[str] = []

    def get_object(self, Bucket: str, Key: str, Range: str) -> dict[str, Any]:
        """Answer as S3 does."""
        assert Bucket == "bucket"
        self.ranges.append(Range)
        if Key not in self.objects:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        first, last = map(int, Range.removeprefix("bytes=").split("-"))
        return {"Body": BytesIO(self.objects[Key][first : last + 1])}


def test_a_part_that_is_further_back_than_was_read_takes_a_second_request_and_the_next_of_its_kind_none() -> None:
    parcel = pack_stamped([Outgoing(Key(0, slot, Tag(0)), bytes([slot]) * 90_000) for slot in (1, 2)], 7.5)
    s3 = CountingS3({"first": parcel, "second": parcel})
    reader = ObjectReader(cast("S3Client", s3), "bucket", 2, 1 << 20)
    assert reader.read("first", 0) == Found([(2, b"\2" * 90_000)], 7.5)
    assert reader.read("second", 0) == Found([(2, b"\2" * 90_000)], 7.5)
    assert len(s3.ranges) == 3
    assert reader.read("third", 0) is None


def test_a_part_for_several_slots_is_there_once_and_found_by_each() -> None:
    data = b"\3" * 9_000
    alone = Outgoing(Key(0, 3, Tag(0)), b"\4" * 10)
    parcel = pack_stamped([Outgoing(Key(0, 1, Tag(0)), data), alone, Outgoing(Key(0, 2, Tag(0)), data)], 7.5)
    assert len(parcel) < 9_100
    s3 = CountingS3({"one": parcel})
    found = [ObjectReader(cast("S3Client", s3), "bucket", slot, 1 << 20).read("one", 0) for slot in (1, 2, 3, 4)]
    assert found == [*(Found([(slot, frame)], 7.5) for slot, frame in ((1, data), (2, data), (3, alone.data))), None]


def test_what_is_no_parcel_is_no_frame() -> None:
    others = pack_stamped([Outgoing(Key(0, 1, Tag(0)), b"x")], 7.5)
    s3 = CountingS3({"bad": b"\xff" * 99, "empty": b"", "short": b"\0", "none": b"\0\0", "others": others})
    reader = ObjectReader(cast("S3Client", s3), "bucket", 2, 1 << 20)
    damaged = Found([(2, b"")])
    assert [reader.read(name) for name in s3.objects] == [damaged, damaged, damaged, None, None]
    assert [reader.read_all(name) for name in s3.objects] == [Found([])] * 3 + [Found([], 0.0), Found([], 7.5)]
