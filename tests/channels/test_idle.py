"""Waiting is told from work."""

from __future__ import annotations

from channels.idle import LONG_CALL_S, IdleClock
from tests.runs.fakes import Clock


def test_a_wait_counts_from_its_begin_and_nothing_counts_outside_of_one() -> None:
    clock = Clock()
    idle = IdleClock(clock)
    with idle.waiting():
        clock.now += 5
        assert idle.seconds() == 5
    clock.now += 5
    assert idle.seconds() == 0


def test_what_arrives_begins_the_count_anew() -> None:
    clock = Clock()
    idle = IdleClock(clock)
    with idle.waiting():
        clock.now += 5
        idle.stir()
        clock.now += 2
        assert idle.seconds() == 2


def test_a_request_that_takes_long_is_work_and_short_ones_are_not() -> None:
    clock = Clock()
    idle = IdleClock(clock)
    with idle.waiting():
        for _ in range(10):
            with idle.calling():
                clock.now += LONG_CALL_S / 2
        assert idle.seconds() == 5 * LONG_CALL_S
        with idle.calling():
            clock.now += 2 * LONG_CALL_S
            assert idle.seconds() == 0
        clock.now += 1
        assert idle.seconds() == 1
