"""Renews a right that lasts only seconds while its holder lives, so that a crashed holder's is soon another's to take.

A thread does it, because a kernel may compute for longer than the right lasts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from runs.errors import RunError

T = TypeVar("T")


class Keeper(Generic[T]):
    """Keeps one right for the length of a block; `value` is its newest version.

    renew: the right with a later end; a RunError says that it is lost.
    """

    def __init__(self, value: T, renew: Callable[[T], T], every_s: float) -> None:
        self.value = value
        self._renew = renew
        self._every_s = every_s
        self._lost: RunError | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="keeper", daemon=True)

    def __enter__(self) -> Keeper[T]:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Renew no more: from now on `value` stays as it is."""
        self._stop.set()
        self._thread.join()

    def check(self) -> None:
        """Raise if the right is another's by now; for the watch.

        Raises:
            RunError: it is.
        """
        if self._lost is not None:
            raise self._lost

    def change(self, how: Callable[[T], T]) -> None:
        """Write a new version, between two renewals.

        Raises:
            RunError: the right is another's by now.
        """
        with self._lock:
            self.value = how(self.value)

    def _keep(self) -> None:
        while not self._stop.wait(self._every_s):
            try:
                self.change(self._renew)
            except RunError as error:
                self._lost = error
                return
            except (ClientError, BotoCoreError):
                continue  # S3 did not answer: the right outlives two more tries
