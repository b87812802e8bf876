"""A lane belongs to one run at a time: a lease, taken and returned by conditional writes of one object per lane.

The epoch counts the leases of a lane. It is in every frame, so that what an older holder still sends is known as stale.
S3's answers carry the clock: functions need not agree on the time.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from runs.errors import LeaseLost, NoFreeLane
from runs.objects import Objects, Stored

# Many that ask all the time would keep S3 busy, and pay for it. All ask as often: who has waited long must not be
# overtaken by who has just come.
RETRY_S = 1.0


@dataclass(frozen=True)
class Lease:
    """The right of one run to use one lane.

    epoch:      number of this lease among all of the lane's.
    expires_at: seconds since 1970, by S3's clock; past it anybody may take the lane.
    etag:       version of the lane's object that holds this lease.
    """

    lane: int
    epoch: int
    run_id: str
    expires_at: float
    etag: str = ""

    def to_json(self) -> dict[str, object]:
        """For the run that hands its lane over to another process."""
        return asdict(self)


class LaneTable:
    """The lanes of one stage."""

    def __init__(self, objects: Objects, lanes: int, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._objects = objects
        self._lanes = lanes
        self._sleep = sleep
        self._skew_s = 0.0

    def acquire(self, run_id: str, duration_s: float, wait_s: float) -> Lease:
        """Lease any free lane for `duration_s`, waiting at most `wait_s` for one. One that the run has is free to it.

        Raises:
            NoFreeLane: all are leased to other runs.
        """
        waited = 0.0
        while True:
            for lane in random.sample(range(self._lanes), self._lanes):
                lease = self._try(lane, run_id, duration_s)
                if lease is not None:
                    return lease
            if waited >= wait_s:
                raise NoFreeLane(
                    f"no free lane: all {self._lanes} are in use, waited {waited:.1f} s: "
                    "try again, or deploy with more lanes"
                )
            pause = min(RETRY_S * random.uniform(0.5, 1.5), max(wait_s - waited, 0.01))
            self._sleep(pause)
            waited += pause

    def is_held(self, lane: int) -> bool:
        """Whether a run has this lane now.

        Raises:
            ValueError: there is no such lane.
        """
        if not 0 <= lane < self._lanes:
            raise ValueError(f"lane: expected 0 to {self._lanes - 1}, got {lane}")
        stored = self._objects.get(_key(lane))
        return stored is not None and bool((held := _decode(lane, stored)).run_id) and held.expires_at > stored.now

    def reclaim(self, run_id: str, duration_s: float) -> Lease | None:
        """Lease again the lane that a run's dead coordinator held, under a new epoch; None when it held none."""
        for lane in range(self._lanes):
            stored = self._objects.get(_key(lane))
            if stored is not None and _decode(lane, stored).run_id == run_id:
                return self._try(lane, run_id, duration_s)
        return None

    def release(self, lease: Lease) -> bool:
        """Return the lane; False, and nothing happens, when it has expired and is another's by now."""
        free = _encode(Lease(lease.lane, lease.epoch, "", 0.0))
        if self._objects.replace(_key(lease.lane), free, lease.etag) is not None:
            return True
        stored = self._objects.get(_key(lease.lane))  # the answer to a first try may have been lost
        return stored is not None and stored.data == free

    def epoch(self, lane: int) -> int:
        """Number of the newest lease of a lane; 0 before the first."""
        stored = self._objects.get(_key(lane))
        return 0 if stored is None else _decode(lane, stored).epoch

    def renew(self, lease: Lease, duration_s: float) -> Lease:
        """The same lease with a later end.

        Raises:
            LeaseLost: the lane is another run's by now.
        """
        renewed = Lease(lease.lane, lease.epoch, lease.run_id, self._now() + duration_s)
        etag = self._objects.replace(_key(lease.lane), _encode(renewed), lease.etag) or self._own(lease)
        if not etag:
            raise LeaseLost(f"lane {lease.lane}: lease {lease.epoch} of run {lease.run_id} is another's by now")
        return Lease(renewed.lane, renewed.epoch, renewed.run_id, renewed.expires_at, etag)

    def _try(self, lane: int, run_id: str, duration_s: float) -> Lease | None:
        stored = self._objects.get(_key(lane))
        if stored is None:
            wanted = Lease(lane, 1, run_id, self._now() + duration_s)
            etag = self._objects.create(_key(lane), _encode(wanted))
        else:
            self._skew_s = stored.now - time.time()
            held = _decode(lane, stored)
            if held.run_id not in ("", run_id) and held.expires_at > stored.now:
                return None
            wanted = Lease(lane, held.epoch + 1, run_id, stored.now + duration_s)
            etag = self._objects.replace(_key(lane), _encode(wanted), stored.etag)
        return None if etag is None else Lease(lane, wanted.epoch, run_id, wanted.expires_at, etag)

    def _own(self, lease: Lease) -> str:
        """Version of a lease that is held after all, because the answer to the SDK's first try was lost; else empty."""
        stored = self._objects.get(_key(lease.lane))
        if stored is None:
            return ""
        held = _decode(lease.lane, stored)
        return stored.etag if (held.epoch, held.run_id) == (lease.epoch, lease.run_id) else ""

    def _now(self) -> float:
        """S3's time, as far as its last answer told it."""
        return time.time() + self._skew_s


def _key(lane: int) -> str:
    return f"lanes/{lane}.json"


def _encode(lease: Lease) -> bytes:
    return json.dumps({"epoch": lease.epoch, "run_id": lease.run_id, "expires_at": lease.expires_at}).encode()


def _decode(lane: int, stored: Stored) -> Lease:
    """The lease that an object says; what is none is a free lane's, with an epoch above all that it can have had."""
    try:
        held = json.loads(stored.data)
        return Lease(lane, int(held["epoch"]), str(held["run_id"]), float(held["expires_at"]), stored.etag)
    except (ValueError, TypeError, KeyError):
        return Lease(lane, int(stored.written_at), "", 0.0, stored.etag)


def lane_states(objects: Objects, lanes: int) -> list[dict[str, object]]:
    """Lane, state (free, leased or expired), and by which run."""
    return [_state(lane, objects.get(_key(lane))) for lane in range(lanes)]


def _state(lane: int, stored: Stored | None) -> dict[str, object]:
    if stored is None:
        return {"lane": lane, "state": "free", "run_id": "", "epoch": 0}
    held = _decode(lane, stored)
    state = "free" if not held.run_id else "leased" if held.expires_at > stored.now else "expired"
    return {"lane": lane, "state": state, "run_id": held.run_id, "epoch": held.epoch}


def held_lanes(objects: Objects, lanes: int) -> Sequence[Lease]:
    """The leases that have not ended, for reports and tests."""
    found = ((lane, objects.get(_key(lane))) for lane in range(lanes))
    leases = ((stored.now, _decode(lane, stored)) for lane, stored in found if stored is not None)
    return [lease for now, lease in leases if lease.run_id and lease.expires_at > now]
