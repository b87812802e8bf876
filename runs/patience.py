"""Notices an attempt that gets nowhere: a message that was lost on the way, or a worker that neither works nor dies.

Whether anybody is at work is asked from time to time (`quiet`); where that cannot be told, silence has a limit.
"""

from __future__ import annotations

from collections.abc import Callable

LOOK_S = 0.5
# Who hears nothing asks so often whether anybody is at work: a GET per worker, 4e-7 USD each.
ASK_S = 5.0


class Patience:
    """How long rank 0 bears that nothing happens; `look` is a poll of its watch.

    stall_s:  in the first attempt; doubled in each further one, in case a step just takes that long.
    progress: something that is another value whenever rank 0 has heard or computed something.
    stalled:  what to raise, given the seconds of silence.
    quiet:    called every ASK_S of silence; may raise.
    clock:    seconds.
    """

    def __init__(
        self,
        stall_s: float,
        attempt: int,
        progress: Callable[[], object],
        stalled: Callable[[float], Exception],
        clock: Callable[[], float],
        quiet: Callable[[], None] = lambda: None,
    ) -> None:
        self._limit_s = stall_s * 2 ** (attempt - 1)
        self._progress = progress
        self._stalled = stalled
        self._clock = clock
        self._quiet = quiet
        self._last, self._since = progress(), clock()
        self._ask_at = self._since + ASK_S

    def look(self) -> None:
        """Raise when nothing has happened for too long."""
        newest, now = self._progress(), self._clock()
        if newest != self._last:
            self._last, self._since, self._ask_at = newest, now, now + ASK_S
        elif now - self._since >= self._limit_s:
            raise self._stalled(now - self._since)
        elif now >= self._ask_at:
            self._ask_at = now + ASK_S
            self._quiet()
