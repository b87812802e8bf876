"""No run costs less, or takes less time, than its floor says."""

from __future__ import annotations

import pytest

from costs.floor import floor_of


def test_more_workers_and_more_memory_cost_more() -> None:
    usd = [floor_of(workers, 3008, {}).usd for workers in (1, 2, 8)]
    assert usd == sorted(usd)
    assert floor_of(4, 10_240, {}).usd > floor_of(4, 3008, {}).usd


def test_the_floor_is_below_what_the_smallest_runs_were_measured_to_cost() -> None:
    """README, Results: `batch`, `queue`, warm: P = 1, 2 and 8 cost 8.9e-5, 1.5e-4 and 5.0e-4 USD."""
    for workers, measured in ((1, 8.9e-5), (2, 1.5e-4), (8, 5.0e-4)):
        assert 0 < floor_of(workers, 3008, {}).usd < measured


@pytest.mark.parametrize("info", [{}, {"predicted_usd": True}, {"predicted_usd": "1"}])
def test_what_is_no_prediction_changes_nothing(info: dict[str, object]) -> None:
    assert floor_of(2, 3008, info) == floor_of(2, 3008, {})


def test_a_prediction_in_the_bundle_is_the_better_floor() -> None:
    found = floor_of(2, 3008, {"predicted_usd": 0.5, "predicted_seconds": 60})
    assert (found.usd, found.seconds) == (0.5, 60.0)
