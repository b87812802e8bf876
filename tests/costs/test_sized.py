"""What a bundle says of its runs: kept as text, read between two sizes, and priced for the functions' memory."""

from __future__ import annotations

import pytest

from costs.exchanged import Exchanged
from costs.planner import Computed, predict
from costs.sized import INFO_KEY, Point, estimates, from_info, point, to_info

POINTS = (
    Point("queue", 100, 1.0, 4.0, 1e-5, 1e-5),
    Point("queue", 300, 3.0, 8.0, 3e-5, 3e-5),
    Point("object", 100, 2.0, 8.0, 2e-5, 5e-6),
    Point("object", 300, 2.0, 8.0, 2e-5, 5e-6),
)


def test_points_come_back_from_a_manifests_info() -> None:
    assert from_info({INFO_KEY: to_info(POINTS)}) == POINTS


def test_points_of_an_older_bundle_have_one_price() -> None:
    assert from_info({INFO_KEY: '[["object",100,2.0,8.0,2e-05]]'}) == (Point("object", 100, 2.0, 8.0, 2e-5, 2e-5),)


def test_one_zone_has_a_price_of_its_own() -> None:
    plain, express = (estimates(POINTS, 200, 4, 1024, express=zone) for zone in (False, True))
    assert plain["queue"] == express["queue"]
    assert plain["object"].usd - express["object"].usd == pytest.approx(2e-5 - 5e-6)
    assert plain["object"].seconds == express["object"].seconds


@pytest.mark.parametrize("text", ["", "{", "[[1]]", '[["queue", "x", 1, 2, 3]]', "[null]", "7", '[["queue",1,2]]'])
def test_what_cannot_be_read_is_no_prediction(text: str) -> None:
    assert from_info({INFO_KEY: text}) == ()
    assert from_info({}) == ()


@pytest.mark.parametrize(("input_bytes", "seconds"), [(0, 1.0), (100, 1.0), (200, 2.0), (300, 3.0), (500, 5.0)])
def test_seconds_lie_on_a_line_between_two_sizes_and_beyond(input_bytes: int, seconds: float) -> None:
    found = estimates(POINTS, input_bytes, 4, 1024)
    assert found["queue"].seconds == pytest.approx(seconds)
    assert found["object"].seconds == 2.0


def test_one_size_is_taken_for_all() -> None:
    assert estimates(POINTS[:1], 10_000, 4, 1024)["queue"].seconds == 1.0
    assert estimates((), 10_000, 4, 1024) == {}


@pytest.mark.parametrize("memory_mb", [512, 3008])
def test_a_kept_prediction_costs_what_the_prediction_did(memory_mb: int) -> None:
    everybody = (0, 1, 2)
    steps: list[Computed | Exchanged] = [
        Computed(dict.fromkeys(everybody, 2.0)),
        Exchanged(everybody, everybody, 6 << 20, 3 << 20, 6, 1),
    ]
    for channel in ("hybrid", "object", "queue"):
        plain, express = (predict(steps, 3, channel, 1024, express=zone) for zone in (False, True))
        kept = point(plain, express, 4096)
        for zone in (False, True):
            assert estimates([kept], 4096, 3, memory_mb, express=zone)[channel].usd == pytest.approx(
                predict(steps, 3, channel, memory_mb, express=zone).usd, rel=1e-4
            )
