"""Who waits for a lane asks now and then, as often as others, and no longer than it may; a lane is returned once."""

from __future__ import annotations

from typing import Any, cast

import pytest

from runs.errors import NoFreeLane
from runs.lease import LaneTable
from runs.objects import Objects
from tests.runs.fakes import Clock, FakeS3


def test_many_that_wait_for_long_do_not_keep_s3_busy() -> None:
    clock, pauses = Clock(), list[float]()
    objects = Objects(cast(Any, FakeS3(clock)), "bucket")
    LaneTable(objects, 1).acquire("first", 1000, 0)
    with pytest.raises(NoFreeLane, match=r"waited 60\.0 s"):
        LaneTable(objects, 1, sleep=pauses.append).acquire("second", 10, 60)
    assert sum(pauses) == pytest.approx(60, abs=0.1)
    assert len(pauses) < 120
    # Nor does one that has come a minute ago ask less often than one that has just come.
    assert sum(pauses[-21:-1]) < 2 * sum(pauses[:20])


def test_a_lane_that_is_returned_soon_is_found_soon() -> None:
    clock, pauses = Clock(), list[float]()
    objects = Objects(cast(Any, FakeS3(clock)), "bucket")
    table = LaneTable(objects, 1)
    held = table.acquire("first", 1000, 0)

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            table.release(held)

    assert LaneTable(objects, 1, sleep=sleep).acquire("second", 10, 60).epoch == 2
    assert sum(pauses) < 5


def test_a_lane_whose_return_was_answered_late_is_returned() -> None:
    clock = Clock()
    s3 = FakeS3(clock)
    table = LaneTable(Objects(cast(Any, s3), "bucket"), 1)
    lease = table.acquire("run", 1000, 0)
    s3.lose = True
    assert table.release(lease)
    heir = table.acquire("heir", 1000, 0)
    assert not table.release(lease)
    assert table.release(heir)
