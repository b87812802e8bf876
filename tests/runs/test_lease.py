"""A lane has one holder at a time, on a real conditional store."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator

import pytest

from runs.errors import LeaseLost, NoFreeLane
from runs.keeper import Keeper
from runs.lease import LaneTable, Lease, held_lanes
from runs.objects import Objects
from tests.conftest import Deployment


@pytest.fixture
def objects(deployment: Deployment) -> Iterator[Objects]:
    """A bucket of the test's own."""
    s3, bucket = deployment.client.stage.s3, f"lanes-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=bucket)
    yield Objects(s3, bucket)
    for lane in range(8):
        s3.delete_object(Bucket=bucket, Key=f"lanes/{lane}.json")
    s3.delete_bucket(Bucket=bucket)


def test_every_lease_of_a_lane_has_a_higher_epoch(objects: Objects) -> None:
    lanes = LaneTable(objects, 1)
    epochs = []
    for run in "abc":
        lease = lanes.acquire(run, 60, 0)
        epochs.append(lease.epoch)
        lanes.release(lease)
    assert epochs == [1, 2, 3]


def test_no_lane_is_leased_twice_by_threads_that_race(objects: Objects) -> None:
    lanes = LaneTable(objects, 4)
    got: list[int] = []
    refused: list[str] = []

    def take(run: int) -> None:
        try:
            got.append(lanes.acquire(str(run), 60, 0.5).lane)
        except NoFreeLane as error:
            refused.append(str(error))

    threads = [threading.Thread(target=take, args=(run,)) for run in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [0, 1, 2, 3]
    assert len(refused) == 6
    assert "all 4 are in use" in refused[0]
    assert len(held_lanes(objects, 4)) == 4


def test_an_expired_lease_is_another_runs_to_take(objects: Objects) -> None:
    lanes = LaneTable(objects, 1)
    dead = lanes.acquire("dead", -5, 0)
    heir = lanes.acquire("heir", 60, 0)
    assert heir.epoch == dead.epoch + 1
    lanes.release(dead)
    assert [lease.run_id for lease in held_lanes(objects, 1)] == ["heir"]
    with pytest.raises(LeaseLost):
        lanes.renew(dead, 60)


def test_a_kept_lease_outlives_its_first_duration_and_a_crashed_one_does_not(objects: Objects) -> None:
    lanes = LaneTable(objects, 1)
    lease = lanes.acquire("run", 2, 0)
    with Keeper(lease, lambda held: lanes.renew(held, 2), 0.3) as keeper:
        with pytest.raises(NoFreeLane):
            LaneTable(objects, 1).acquire("other", 60, 4)
        keeper.check()
    lanes.release(keeper.value)
    crashed = lanes.acquire("crashed", 2, 0)
    heir = LaneTable(objects, 1).acquire("heir", 60, 10)
    assert heir.epoch == crashed.epoch + 1


def test_a_keeper_whose_lane_was_taken_says_so(objects: Objects) -> None:
    lanes = LaneTable(objects, 1)
    stalled = lanes.acquire("stalled", -5, 0)
    lanes.acquire("heir", 60, 0)
    keeper = Keeper(stalled, lambda held: lanes.renew(held, 60), 0.05)
    with keeper, pytest.raises(LeaseLost, match="lease 1 of run stalled"):
        _check_until(keeper, time.monotonic() + 10)


def _check_until(keeper: Keeper[Lease], end: float) -> None:
    while time.monotonic() < end:
        keeper.check()
        time.sleep(0.02)


def test_a_renewed_lease_keeps_its_epoch(objects: Objects) -> None:
    lanes = LaneTable(objects, 1)
    lease = lanes.acquire("run", 60, 0)
    renewed = lanes.renew(lease, 600)
    assert (renewed.epoch, renewed.expires_at > lease.expires_at) == (lease.epoch, True)
    lanes.release(renewed)
    assert held_lanes(objects, 1) == []
