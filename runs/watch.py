"""What ends a wait before its message comes: a limit in time, or the word that a worker is dead."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator


class HandOver(Exception):
    """The caller has waited long enough: answer now, go on in another process."""


class RunOver(Exception):
    """The run has ended without this process: leave."""


class Watch:
    """The `check` hook of rank 0's channel and machine: called while it waits and between instructions.

    Limits are absolute times of `clock`, each with the error it ends in; polls run at most every `every_s`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._limits: dict[str, tuple[float, Callable[[], Exception]]] = {}
        self._polls: list[tuple[float, Callable[[], None]]] = []
        self._next: dict[int, float] = {}

    def limit(self, name: str, at: float, error: Callable[[], Exception]) -> None:
        """From time `at` on, `check` raises `error()`."""
        self._limits[name] = (at, error)

    def lift(self, name: str) -> None:
        """Forget a limit."""
        self._limits.pop(name, None)

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
        self._next[len(self._polls)] = self._clock() + every_s
        self._polls.append((every_s, action))

    def check(self) -> None:
        """Raise what has come due."""
        now = self._clock()
        for at, error in self._limits.values():
            if now >= at:
                raise error()
        for index, (every_s, action) in enumerate(self._polls):
            if now >= self._next[index]:
                self._next[index] = now + every_s
                action()


def monotonic(at: float) -> float:
    """A time in seconds since 1970, in time.monotonic's seconds."""
    return time.monotonic() + at - time.time()
