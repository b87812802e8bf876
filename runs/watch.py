"""What ends a wait before its message comes: a limit in time, or the word that a worker is dead."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass


class HandOver(Exception):
    """The caller has waited long enough: answer now, go on in another process."""


class RunOver(Exception):
    """The run has ended without this process: leave."""


@dataclass(eq=False)
class _Poll:
    every_s: float
    action: Callable[[], None]
    next_at: float


class Watch:
    """The `check` hook of rank 0's channel and machine: called while it waits and between instructions.

    Limits are absolute times of `clock`, each with the error it ends in; polls run at most every `every_s`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._limits: dict[str, tuple[float, Callable[[], Exception]]] = {}
        self._polls: list[_Poll] = []

    def limit(self, name: str, at: float, error: Callable[[], Exception]) -> None:
        """From time `at` on, `check` raises `error()`."""
        self._limits[name] = (at, error)

    def lift(self, name: str) -> None:
        """Forget a limit."""
        self._limits.pop(name, None)

    def postpone(self, name: str, by_s: float) -> None:
        """Move a limit to a later time."""
        at, error = self._limits[name]
        self._limits[name] = (at + by_s, error)

    @contextlib.contextmanager
    def limited(self, name: str, at: float, error: Callable[[], Exception]) -> Iterator[None]:
        """A limit for the length of a block."""
        self.limit(name, at, error)
        try:
            yield
        finally:
            self.lift(name)

    def poll(self, every_s: float, action: Callable[[], None]) -> None:
        """Let `check` call `action`, which may raise, at most once every `every_s`."""
        self._polls.append(_Poll(every_s, action, self._clock() + every_s))

    @contextlib.contextmanager
    def polled(self, every_s: float, action: Callable[[], None]) -> Iterator[None]:
        """A poll for the length of a block."""
        self.poll(every_s, action)
        mine = self._polls[-1]
        try:
            yield
        finally:
            self._polls.remove(mine)

    def check(self) -> None:
        """Raise what has come due."""
        now = self._clock()
        for at, error in self._limits.values():
            if now >= at:
                raise error()
        for poll in [poll for poll in self._polls if now >= poll.next_at]:
            poll.next_at = now + poll.every_s
            poll.action()


def monotonic(at: float) -> float:
    """A time in seconds since 1970, in time.monotonic's seconds."""
    return time.monotonic() + at - time.time()
