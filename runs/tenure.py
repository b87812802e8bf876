"""Who drives a run: one process at a time is its coordinator, for a term.

`runs/<run_id>/driver.json` says who, by conditional writes. It is written when a run has lasted for RENEW_S, and with
every hand-over: until then the writer of the request itself drives, and a short run pays nothing. A driver that is
dead stops renewing; whoever asks for the run after that, be it Lambda's retry or the caller, begins the next term.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from runs.errors import Cancelled, Superseded
from runs.objects import Objects, Stored

# A term outlives two renewals that fail, and the long poll of a driver that died. One PUT each: 1e-4 USD a minute.
LEASE_S = 10.0
RENEW_S = 3.0
# An invocation that was asked to go on may start cold.
HAND_OVER_S = 60.0

State = Literal["driving", "handed", "cancelled"]


@dataclass(frozen=True)
class Tenure:
    """One term.

    term:       counts the drivers of a run, from 1.
    attempt:    the newest attempt at the run.
    refused:    how many of them found no slots, and do not count.
    state:      `handed`: the next driver has been called, and may take over at once.
    expires_at: seconds since 1970, by S3's clock; past it the driver is dead.
    holder:     made up by the driver, so that it knows its own writes.
    request_id: of the driver's invocation.
    etag:       version of the object that says so; empty while none does.
    """

    term: int = 1
    attempt: int = 1
    state: State = "driving"
    expires_at: float = 0.0
    holder: str = field(default_factory=lambda: secrets.token_hex(8))
    request_id: str = ""
    etag: str = ""
    refused: int = 0

    def encode(self) -> bytes:
        """The object that says so."""
        return json.dumps({name: value for name, value in asdict(self).items() if name != "etag"}).encode()


class Tenures:
    """The terms of one run."""

    def __init__(self, objects: Objects, run_id: str, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._objects = objects
        self._run_id = run_id
        self._key = f"runs/{run_id}/driver.json"
        self._skew_s = 0.0

    def current(self) -> Tenure | None:
        """The newest term; None when the run is not known."""
        stored = self._objects.get(self._key)
        if stored is None:
            return self._first()
        self._skew_s = stored.now - self._clock()
        return decode_tenure(stored)

    def _first(self) -> Tenure | None:
        request = self._objects.get(f"runs/{self._run_id}/request.json")
        if request is None:
            return None
        self._skew_s = request.now - self._clock()
        return Tenure(expires_at=request.written_at + LEASE_S, holder="")

    def left_s(self, tenure: Tenure) -> float:
        """Seconds until a driver counts as dead, by S3's clock as of the last answer."""
        return tenure.expires_at - self._now()

    def take(self, former: Tenure, request_id: str) -> Tenure | None:
        """Begin the next term; None when somebody else was first.

        A run that was handed over goes on with its attempt; from a dead driver nothing can be had but the next one.
        """
        attempt = former.attempt + (former.state != "handed")
        mine = Tenure(
            former.term + 1,
            attempt,
            expires_at=self._now() + LEASE_S,
            request_id=request_id,
            refused=former.refused,
        )
        return self._write(mine, former.etag) or self._written_before(mine)

    def renew(self, tenure: Tenure, *, attempt: int = 0, refused: int = 0) -> Tenure:
        """The same term with a later end; and a new attempt, if there is one.

        Raises:
            Superseded, Cancelled: it is over.
        """
        until, number = self._now() + LEASE_S, attempt or tenure.attempt
        renewed = self._update(replace(tenure, expires_at=until, attempt=number, refused=refused or tenure.refused))
        if not tenure.etag:
            self._check_unended(tenure)
        return renewed

    def _check_unended(self, mine: Tenure) -> None:
        """A first term that is written when the run has ended already: its driver was frozen meanwhile.

        Raises:
            Superseded: so it is; what was written is deleted.
        """
        if self._objects.get(f"runs/{self._run_id}/record.json") is not None:
            self._objects.remove(self._key)
            raise Superseded(f"run {self._run_id}: term {mine.term} is over, the run has ended")

    def hand(self, tenure: Tenure, within_s: float) -> Tenure:
        """Let the next driver take over, which comes `within_s`.

        Raises:
            Superseded, Cancelled: the term is over already.
        """
        return self._update(replace(tenure, state="handed", expires_at=self._now() + within_s))

    def check(self, tenure: Tenure) -> None:
        """Look whether a term still lasts; for the watch, between two renewals.

        Raises:
            Superseded, Cancelled: it is over.
        """
        stored = self._objects.get(self._key)
        newest = tenure if stored is None else decode_tenure(stored)
        if newest.state == "cancelled" or newest.term > tenure.term:
            raise self._over(newest, tenure)

    def cancel(self) -> Tenure | None:
        """End the newest term and let none follow; that term as it was, or None when the run is not known.

        It lasts on in `expires_at` where somebody drives, who will end the run and clean up.
        """
        while (former := self.current()) is not None and former.state != "cancelled":
            until = former.expires_at if former.state == "driving" else self._now()
            ended = replace(former, state="cancelled", holder=secrets.token_hex(8), expires_at=until)
            if self._write(ended, former.etag) is not None:
                break
        return former

    def _update(self, wanted: Tenure) -> Tenure:
        return self._write(wanted, wanted.etag) or self._own(wanted)

    def _write(self, tenure: Tenure, etag: str) -> Tenure | None:
        data = tenure.encode()
        written = self._objects.replace(self._key, data, etag) if etag else self._objects.create(self._key, data)
        return None if written is None else replace(tenure, etag=written)

    def _written_before(self, wanted: Tenure) -> Tenure | None:
        """The newest term where it is this one: the answer to a first try of the SDK was lost."""
        newest = self.current()
        return newest if newest is not None and newest.holder == wanted.holder else None

    def _own(self, wanted: Tenure) -> Tenure:
        """This term, written before after all.

        Raises:
            Superseded, Cancelled: the newest is another.
        """
        mine = self._written_before(wanted)
        if mine is None:
            raise self._over(self.current(), wanted)
        return mine

    def _over(self, newest: Tenure | None, mine: Tenure) -> Cancelled | Superseded:
        if newest is not None and newest.state == "cancelled":
            return Cancelled(f"run {self._run_id}: cancelled")
        return Superseded(f"run {self._run_id}: term {mine.term} is over, another process drives it")

    def _now(self) -> float:
        return self._clock() + self._skew_s


def decode_tenure(stored: Stored) -> Tenure:
    """The term that an object says; what is none is a first term that has ended: anybody may follow it."""
    try:
        return Tenure(**{**json.loads(stored.data), "etag": stored.etag})
    except (ValueError, TypeError):
        return Tenure(holder="", etag=stored.etag)
