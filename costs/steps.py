"""Calls by the step of a program during which they were counted; together with the others they are the run's."""

from __future__ import annotations

from costs.calls import CallCount, CallCounts, merge, subtract
from costs.meter import Meter


class StepMeter:
    """Tells the steps of a program apart; what is counted before and after it is none of theirs.

    counts: by step; added to, so that a program which is run again adds to its steps.
    """

    def __init__(self, meter: Meter, counts: dict[int, dict[str, CallCount]]) -> None:
        self.counts = counts
        self._meter = meter
        self._step: int | None = None
        self._before: CallCounts = {}

    def enter(self, step: int | None) -> None:
        """A step begins, and the one before has ended; None: no step does."""
        if step == self._step:
            return
        now = self._meter.snapshot()
        if self._step is not None and (made := subtract(now, self._before)):
            self.counts[self._step] = merge(self.counts.get(self._step, {}), made)
        self._step, self._before = step, now
