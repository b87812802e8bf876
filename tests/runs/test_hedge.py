"""A worker whose event was lost is started once more; which of two copies takes part is the claims' business."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from runs.coordinator import HEDGE_S, Coordinator
from runs.errors import StartFailed
from runs.failures import FailureDesk
from runs.progress import Progress
from runs.request import Request
from runs.service import Invocation
from runs.watch import Watch
from tests.runs.fakes import Clock, FakeCalls, FakeS3, fake_service

RUN = "ab" * 16


class Hall:
    """A channel on which slot 1 says hello at once, and slot 2 not before it was started again."""

    def __init__(self, watch: Watch, clock: Clock, calls: FakeCalls) -> None:
        self.watch, self.clock, self.calls = watch, clock, calls

    def recv_json_any(self, pairs: Sequence[tuple[int, Any]]) -> tuple[int, Any, object]:
        for slot, tag in pairs:
            if slot == 1 or self.calls.invoked:
                return slot, tag, {"held": [], "request_id": f"r{slot}"}
        self.clock.now += HEDGE_S / 4
        self.watch.check()
        return self.recv_json_any(pairs)


class SlowHall(Hall):
    """A channel on which one worker after the other says hello, and the last one not before it was started again."""

    def recv_json_any(self, pairs: Sequence[tuple[int, Any]]) -> tuple[int, Any, object]:
        self.clock.now += HEDGE_S * 0.6
        self.watch.check()
        if len(pairs) == 1 and not self.calls.invoked:
            return self.recv_json_any(pairs)
        return *pairs[0], {"held": [], "request_id": ""}


def _coordinator(clock: Clock, calls: FakeCalls, start_s: float, world_size: int = 3) -> Coordinator:
    manifest = cast(Any, SimpleNamespace(world_size=world_size, bundle_id="b"))
    return Coordinator(
        fake_service(FakeS3(clock), calls),
        manifest,
        Request("m", run_id=RUN, start_s=start_s),
        time.time() + 100,
        Invocation("r0", 3008, time.monotonic() + 900),
        Progress(),
        Watch(clock),
        FailureDesk(RUN, 1, ""),
        cast(Any, None),
    )


def test_only_who_is_late_is_started_once_more() -> None:
    clock, calls = Clock(time.monotonic()), FakeCalls()
    coordinator = _coordinator(clock, calls, start_s=120)
    held = coordinator._hear_hellos(cast(Any, Hall(coordinator.watch, clock, calls)))
    assert len(held) == 3
    assert [start["slot"] for start in calls.invoked] == [2]
    assert coordinator.progress.hedged


def test_nobody_is_started_once_more_while_more_than_half_are_late() -> None:
    clock, calls = Clock(time.monotonic()), FakeCalls()
    coordinator = _coordinator(clock, calls, start_s=1000, world_size=9)
    held = coordinator._hear_hellos(cast(Any, SlowHall(coordinator.watch, clock, calls)))
    started = [start["slot"] for start in calls.invoked]
    assert len(held) == 9
    assert 0 < len(started) <= 4
    assert started == list(range(9 - len(started), 9))


def test_a_worker_that_never_comes_fails_the_start_at_its_limit() -> None:
    clock, calls = Clock(time.monotonic()), FakeCalls()
    coordinator = _coordinator(clock, calls, start_s=0)
    with pytest.raises(StartFailed, match="needed 3 slots, got 2; quota 1000; no hello within start_s=0"):
        coordinator._hear_hellos(cast(Any, Hall(coordinator.watch, clock, calls)))
    assert calls.invoked == []
