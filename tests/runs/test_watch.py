"""What ends a wait."""

from __future__ import annotations

import pytest

from runs.errors import DeadlineExceeded
from runs.watch import HandOver, Watch


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_limit_raises_its_error_from_its_time_on() -> None:
    clock = Clock()
    watch = Watch(clock)
    watch.limit("deadline", 105.0, lambda: DeadlineExceeded("late"))
    watch.check()
    clock.now = 105.0
    with pytest.raises(DeadlineExceeded):
        watch.check()


def test_a_limit_of_a_block_ends_with_it() -> None:
    clock = Clock()
    watch = Watch(clock)
    with watch.limited("start", 101.0, HandOver):
        pass
    clock.now = 102.0
    watch.check()


def test_a_poll_is_asked_no_more_often_than_it_says() -> None:
    clock = Clock()
    watch = Watch(clock)
    asked: list[float] = []
    watch.poll(2.0, lambda: asked.append(clock.now))
    for _ in range(20):
        clock.now += 0.25
        watch.check()
    assert asked == [102.0, 104.0]


def test_a_poll_for_the_length_of_a_block_ends_with_it() -> None:
    clock, calls = Clock(), list[float]()
    watch = Watch(clock)
    watch.poll(50.0, lambda: calls.append(-1.0))
    with watch.polled(1.0, lambda: calls.append(clock.now)):
        clock.now += 1.0
        watch.check()
    clock.now += 1.0
    watch.check()
    assert calls == [101.0]
