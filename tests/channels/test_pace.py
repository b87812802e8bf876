"""How long a rank leaves the messages of a step to come, by a clock that the test moves."""

from __future__ import annotations

from channels.pace import MOST_AGAIN_S, MOST_S, Pace
from channels.tags import ASSIGN, Tag
from channels.transport import Key

SEVEN = range(7)


def keys(step: int, sources: range = SEVEN) -> list[Key]:
    """What slot 7 waits for."""
    return [Key(source, 7, Tag(step)) for source in sources]


def run(pace: Pace, steps: range, length_s: float, now: float = 0.0) -> tuple[float, int]:
    """Steps whose messages come so long after the end of the one before; the end of the last, and all receives."""
    receives = 0
    for step in steps:
        there = now + length_s
        asked = pace.due_s(keys(step), now)
        while True:
            receives += 1
            now = max(asked, now)
            pace.got(now)
            if now >= there:
                break
            now = there  # a receive that has found a part; the next one waits for the rest
            asked = pace.due_s(keys(step, range(1)), now)
    return now, receives


def test_steps_of_one_length_take_little_more_than_a_receive_each() -> None:
    pace = Pace()
    began, _ = run(pace, range(40), 0.1)
    ended, receives = run(pace, range(40, 140), 0.1, began)
    assert receives < 130
    assert ended - began < 1.1 * 100 * 0.1


def test_a_run_that_becomes_faster_is_followed() -> None:
    pace = Pace()
    began, _ = run(pace, range(60), 0.2)
    slow = pace.usual_s
    run(pace, range(60, 160), 0.02, began)
    assert pace.usual_s < slow / 3


def test_nobody_waits_longer_than_the_bounds() -> None:
    pace = Pace()
    now, _ = run(pace, range(200), 30.0)
    assert pace.due_s(keys(500), now) - now <= MOST_S + 1e-9
    assert pace.due_s(keys(500), now) - now <= MOST_AGAIN_S + 1e-9


def test_a_rank_that_is_late_asks_at_once() -> None:
    pace = Pace()
    now, _ = run(pace, range(50), 0.1)
    assert pace.due_s(keys(50), now + 1.0) <= now + 1.0


def test_control_messages_are_asked_for_at_once_and_teach_nothing() -> None:
    pace = Pace()
    now, _ = run(pace, range(50), 0.1)
    usual = pace.usual_s
    assert pace.due_s(keys(ASSIGN), now) == now
    assert pace.usual_s == usual
