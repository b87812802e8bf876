"""The meter: adds up calls from any number of threads."""

from __future__ import annotations

import threading

from costs.calls import NONE, CallCount


class Meter:
    """Thread-safe counts of calls by "service:Operation"."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, CallCount] = {}

    def record(self, operation: str, requests: int = 1, units: int = 1, bytes: int = 0) -> None:
        """Add to one operation's counts; `bytes` is the payload's size."""
        added = CallCount(requests, units, bytes)
        with self._lock:
            self._counts[operation] = self._counts.get(operation, NONE) + added

    def snapshot(self) -> dict[str, CallCount]:
        """The counts so far, keys in alphabetical order; later calls do not change it."""
        with self._lock:
            return dict(sorted(self._counts.items()))

    def reset(self) -> dict[str, CallCount]:
        """Start again at nothing, and return the counts up to now: no call falls between the two."""
        with self._lock:
            taken, self._counts = self._counts, {}
        return dict(sorted(taken.items()))
