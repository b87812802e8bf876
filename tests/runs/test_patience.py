"""An attempt that gets nowhere is noticed; one that is slow is not."""

from __future__ import annotations

import pytest

from runs.patience import ASK_S, Patience
from tests.runs.test_watch import Clock


class Silence(Exception):
    """What these tests raise."""


def make(clock: Clock, heard: list[int], attempt: int = 1) -> Patience:
    return Patience(10.0, attempt, lambda: len(heard), lambda seconds: Silence(f"{seconds:g}"), clock)


def test_silence_is_borne_for_stall_s_and_no_longer() -> None:
    clock = Clock()
    patience = make(clock, [])
    clock.now += 9.9
    patience.look()
    clock.now += 0.1
    with pytest.raises(Silence, match="10"):
        patience.look()


def test_whatever_happens_begins_the_time_anew() -> None:
    clock, heard = Clock(), list[int]()
    patience = make(clock, heard)
    for _ in range(5):
        clock.now += 9.0
        heard.append(1)
        patience.look()
    clock.now += 10.0
    with pytest.raises(Silence):
        patience.look()


def test_a_later_attempt_waits_longer_in_case_a_step_is_slow() -> None:
    clock = Clock()
    patience = make(clock, [], attempt=3)
    clock.now += 39.9
    patience.look()
    clock.now += 0.1
    with pytest.raises(Silence):
        patience.look()


def test_who_hears_nothing_asks_now_and_then_whether_anybody_is_at_work() -> None:
    clock, heard, asked = Clock(), list[int](), list[float]()
    start = clock.now
    patience = Patience(
        100.0, 1, lambda: len(heard), lambda _: Silence(), clock, lambda: asked.append(clock.now - start)
    )
    for second in range(1, 18):
        clock.now = start + second
        if second == 7:
            heard.append(1)
        patience.look()
    assert asked == [ASK_S, 7 + ASK_S, 7 + 2 * ASK_S]
