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


def _coordinator(clock: Clock, calls: FakeCalls, start_s: float) -> Coordinator:
    manifest = cast(Any, SimpleNamespace(world_size=3, bundle_id="b"))
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


def test_a_worker_that_never_comes_fails_the_start_at_its_limit() -> None:
    clock, calls = Clock(time.monotonic()), FakeCalls()
    coordinator = _coordinator(clock, calls, start_s=0)
    with pytest.raises(StartFailed, match="needed 3 slots, got 2; quota 1000; no hello within start_s=0"):
        coordinator._hear_hellos(cast(Any, Hall(coordinator.watch, clock, calls)))
    assert calls.invoked == []
