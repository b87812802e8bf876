"""One copy of each slot: a worker claims its slot of an attempt by a conditional write before it says a word.

A worker that is there for longer renews its claim, which says how long it has been idle: a sign of life.

An asynchronous invocation may arrive twice, or late. Two copies of a slot would share one queue and take each other's
messages; so the second one, which finds the claim, leaves without having touched the queue. Rank 0 claims the slots
that have not come when it gives an attempt up, so that they do not come later.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from runs.errors import Superseded
from runs.objects import Objects, Stored

LEFT = b"left"
POLL_S = 0.25
# How often a worker renews its claim. One PUT: a fiftieth of what its function costs in that time.
PULSE_S = 5.0


@dataclass(frozen=True)
class Pulse:
    """What a claim says of its worker.

    age_s:  since it was written, by S3's clock.
    idle_s: for which the worker had been waiting for a message then.
    left:   whether it was the worker's last one.
    """

    slot: int
    age_s: float
    idle_s: float
    left: bool = False


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

    def renew(self, slot: int, etag: str, idle_s: float) -> str:
        """Give a sign of life; the claim's new version.

        Raises:
            Superseded: the claim is gone, and with it the run.
        """
        data = json.dumps({"idle_s": round(idle_s, 1), "sign": secrets.token_hex(8)}).encode()
        renewed = self._objects.replace(self._key(slot), data, etag)
        if renewed is None:  # or the answer to a first try was lost
            stored = self._objects.get(self._key(slot))
            renewed = stored.etag if stored is not None and stored.data == data else None
        if renewed is None:
            raise Superseded(f"slot {slot}: its claim is gone")
        return renewed

    def pulses(self, slots: Iterable[int]) -> list[Pulse]:
        """The newest sign of life of each of these slots, of those that have come."""
        found = ((slot, self._objects.get(self._key(slot))) for slot in slots)
        return [_pulse(slot, stored) for slot, stored in found if stored is not None]

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


def _pulse(slot: int, stored: Stored) -> Pulse:
    age_s = max(0.0, stored.now - stored.written_at)
    if stored.data == LEFT:
        return Pulse(slot, age_s, 0.0, left=True)
    try:
        return Pulse(slot, age_s, float(json.loads(stored.data)["idle_s"]))
    except (ValueError, TypeError, KeyError):  # it has not been renewed yet
        return Pulse(slot, age_s, 0.0)
