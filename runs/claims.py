"""One copy of each slot: a worker claims its slot of an attempt by a conditional write before it says a word.

An asynchronous invocation may arrive twice, or late. Two copies of a slot would share one queue and take each other's
messages; so the second one, which finds the claim, leaves without having touched the queue. Rank 0 claims the slots
that have not come when it gives an attempt up, so that they do not come later.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable

from runs.objects import Objects

LEFT = b"left"
POLL_S = 0.25


class Claims:
    """The claims of one attempt at a run."""

    def __init__(self, objects: Objects, run_id: str, attempt: int) -> None:
        self._objects = objects
        self._prefix = f"runs/{run_id}/claims/{attempt}-"

    def take(self, slot: int) -> str | None:
        """Claim a slot; the claim's version, or None when another copy was first, or the attempt has been given up."""
        name = secrets.token_hex(8).encode()
        etag = self._objects.create(self._key(slot), name)
        if etag is None:  # or the answer to a first try was lost, and the claim is our own
            stored = self._objects.get(self._key(slot))
            etag = stored.etag if stored is not None and stored.data == name else None
        return etag

    def leave(self, slot: int, etag: str) -> None:
        """Say that this slot's process sends nothing any more, unless the run has been cleaned up by now."""
        self._objects.replace(self._key(slot), LEFT, etag)

    def bar(self, slots: Iterable[int]) -> list[int]:
        """Claim the slots that have not come; the others."""
        return [slot for slot in slots if self._objects.create(self._key(slot), LEFT) is None]

    def await_left(self, slots: Iterable[int], wait_s: float, sleep: Callable[[float], None] = time.sleep) -> list[int]:
        """Wait until the processes of these slots have left, at most `wait_s`; the slots of those that have not."""
        staying, waited = list(slots), 0.0
        while staying := [slot for slot in staying if not self._has_left(slot)]:
            if waited >= wait_s:
                break
            sleep(POLL_S)
            waited += POLL_S
        return staying

    def _has_left(self, slot: int) -> bool:
        stored = self._objects.get(self._key(slot))
        return stored is None or stored.data == LEFT

    def _key(self, slot: int) -> str:
        return f"{self._prefix}{slot}"
