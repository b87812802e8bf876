"""Calls that go on while their caller computes. What one raises is raised again by the next, or at the end."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec

P = ParamSpec("P")


class Background:
    """Calls of one thread on an executor that others may share."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._calls: list[Future[None]] = []

    def start(self, call: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Start a call.

        Raises:
            Whatever an earlier one raised.
        """
        self.check()
        self._calls.append(self._pool.submit(call, *args, **kwargs))

    def check(self) -> None:
        """Forget the calls that have ended.

        Raises:
            What the first of them that failed raised.
        """
        ended = [call for call in self._calls if call.done()]
        self._calls = [call for call in self._calls if call not in ended]
        for call in ended:
            call.result()

    def wait(self) -> None:
        """Wait until all have ended.

        Raises:
            What the first that failed raised.
        """
        calls, self._calls = self._calls, []
        for call in calls:
            call.exception()
        for call in calls:
            call.result()
