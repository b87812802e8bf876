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


@pytest.mark.parametrize("info", [{"least_sends": True}, {"least_sends": "9"}, {"least_meetings": -5}, {"other": 1}])
def test_what_is_no_count_changes_nothing(info: dict[str, object]) -> None:
    assert floor_of(2, 3008, info) == floor_of(2, 3008, {})


def test_exchanges_that_cannot_be_avoided_raise_the_floor() -> None:
    alone, met = floor_of(4, 3008, {}), floor_of(4, 3008, {"least_sends": 400, "least_meetings": 100})
    assert met.seconds == pytest.approx(alone.seconds + 1.0)
    assert met.usd == pytest.approx(alone.usd + 400 * 4e-7 + 4 * 1.0 * 3008 / 1024 * 1.66667e-5, rel=1e-3)
