"""Notices an attempt that gets nowhere: a message that was lost on the way, or a worker that neither works nor dies."""

from __future__ import annotations

from collections.abc import Callable

LOOK_S = 0.5


class Patience:
    """How long rank 0 bears that nothing happens; `look` is a poll of its watch.

    stall_s:  in the first attempt; doubled in each further one, in case a step just takes that long.
    progress: something that is another value whenever rank 0 has heard or computed something.
    stalled:  what to raise, given the seconds of silence.
    clock:    seconds.
    """

    def __init__(
        self,
        stall_s: float,
        attempt: int,
        progress: Callable[[], object],
        stalled: Callable[[float], Exception],
        clock: Callable[[], float],
    ) -> None:
        self._limit_s = stall_s * 2 ** (attempt - 1)
        self._progress = progress
        self._stalled = stalled
        self._clock = clock
        self._last, self._since = progress(), clock()

    def look(self) -> None:
        """Raise when nothing has happened for too long."""
        newest, now = self._progress(), self._clock()
        if newest != self._last:
            self._last, self._since = newest, now
        elif now - self._since >= self._limit_s:
            raise self._stalled(now - self._since)
