"""For how long a channel has done nothing but wait: what tells a slot that is stuck from one that is at work.

A request that takes longer than LONG_CALL_S moves many bytes: it is work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

LONG_CALL_S = 1.0


class IdleClock:
    """Written by the thread that waits, read by any."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: float | None = None
        self._called_at: float | None = None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A wait for a message begins and ends."""
        self._since = self._clock()
        try:
            yield
        finally:
            self._since = None

    @contextmanager
    def calling(self) -> Iterator[None]:
        """A request of the transport's own begins and ends."""
        self._called_at = started = self._clock()
        try:
            yield
        finally:
            self._called_at = None
            if self._clock() - started > LONG_CALL_S:
                self.stir()

    def stir(self) -> None:
        """Something has happened: count anew, if this is a wait."""
        if self._since is not None:
            self._since = self._clock()

    def seconds(self) -> float:
        """Since when nothing has happened in the wait under way; 0 outside of one."""
        since, called_at, now = self._since, self._called_at, self._clock()
        at_work = called_at is not None and now - called_at > LONG_CALL_S
        return 0.0 if since is None or at_work else max(0.0, now - since)
