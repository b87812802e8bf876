"""Who goes on with a run that another process left, or died over; and how a run is cancelled.

Lambda delivers an asynchronous event again when its function died, and now and then twice without a reason. Both come
here: the second copy waits until it knows whether the first one lives, and leaves if so.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from channels.errors import CodecError
from costs import merge
from runs.drain import drain_twice
from runs.errors import Cancelled, RunError, RunLost, RunNotFound
from runs.inputs import fetch_inputs
from runs.job import Job
from runs.lease import LaneTable
from runs.manifests import cached_manifest
from runs.progress import Progress, load_progress
from runs.record import Claim, RunFiles, running
from runs.request import Request, decode_inputs
from runs.service import Invocation, Service
from runs.tenure import Tenure, Tenures
from runs.values import Array

# A driver that was cancelled has this long to end the run by itself: its workers leave, its lane comes back.
CANCEL_S = 10.0
POLL_S = 0.2
# A dead driver's lane is leased for so long while it is emptied.
LANE_S = 60.0
# Who waits for long asks less and less often.
SLOWER, MAX_POLL_S = 1.2, 1.0
# Who must answer sooner than that does not begin to compute.
AT_ONCE_S = 1.0


@dataclass(frozen=True)
class Succession:
    """One run, as a process finds it that does not drive it."""

    service: Service
    files: RunFiles
    invocation: Invocation
    sleep: Callable[[float], None] = time.sleep

    def resume(self, term: int) -> dict[str, Any]:
        """Go on with a run that was left in `term`; leave it where another process drives it.

        Raises:
            RunNotFound: there is no such run.
        """
        claim = self.files.read_claim()
        tenure = self._vacant(term)
        return self._as_it_is() if tenure is None else self._succeed(claim, tenure, None)

    def join(self, answer_by: float) -> dict[str, Any]:
        """The answer of a run that was asked for before, if it comes by `answer_by` (time.monotonic).

        Whoever waits for a run whose driver is dead drives it.
        """
        pause_s = POLL_S
        while True:
            answer = self.files.record()
            if answer is not None:
                return answer
            tenure = self._tenures.current()
            if tenure is not None and self._tenures.left_s(tenure) <= 0:
                return self._succeed(self.files.read_claim(), tenure, answer_by)
            if time.monotonic() + POLL_S >= answer_by:
                return running(self.files.run_id)
            self.sleep(pause_s)
            pause_s = min(pause_s * SLOWER, MAX_POLL_S, max(answer_by - time.monotonic() - POLL_S, 0.0))

    def cancel(self) -> dict[str, Any]:
        """End a run; its record, which is its answer where that came first.

        Raises:
            RunNotFound: there is no such run.
        """
        claim = self.files.read_claim()
        tenures = self._tenures
        former = None if self.files.record() else tenures.cancel()
        if former is not None and former.state != "handed" and tenures.left_s(former) > 0:
            self._await_record(min(CANCEL_S, tenures.left_s(former)))
        answer = self.files.record()
        if answer is None:
            return self._bury(claim, Cancelled(f"run {self.files.run_id}: cancelled"))
        self.files.objects.remove(self.files.key("driver.json"))  # which a driver does not know of that ended just then
        return answer

    def bury(self, term: int, cause: str) -> dict[str, Any]:
        """End a run that was left in `term` and that Lambda has given up, unless somebody drives it.

        Raises:
            RunNotFound: there is no such run.
        """
        claim = self.files.read_claim()
        if self._vacant(term) is None:
            return self._as_it_is()
        return self._bury(claim, RunLost(f"run {self.files.run_id}: Lambda gave up its coordinator: {cause}"))

    def _bury(self, claim: Claim, error: RunError) -> dict[str, Any]:
        tenure = self._tenures.current() or Tenure()
        job = self._job(claim, tenure, self._progress(tenure))
        job.progress.attempt = tenure.attempt
        return self._end(job, error)

    def _end(self, job: Job, error: RunError) -> dict[str, Any]:
        """Write the record of a run that nobody drives, empty its lane and return it."""
        lanes = LaneTable(self.service.objects, self.service.settings.lanes)
        lease = lanes.reclaim(self.files.run_id, LANE_S)
        if lease is not None:
            drain_twice(self.service, self.files.run_id, lease.lane, job.manifest.world_size)
        answer = job.fail(error)
        if lease is not None and lanes.release(lease):
            self.files.sweep()
        return answer

    def _succeed(self, claim: Claim, former: Tenure, answer_by: float | None) -> dict[str, Any]:
        if former.state == "cancelled":
            return self._bury(claim, Cancelled(f"run {self.files.run_id}: cancelled"))
        mine = self._tenures.take(former, self.invocation.request_id)
        answer = self.files.record()  # again: the run may have ended before its driver was looked for
        if mine is None or answer is not None:
            return self._step_back(mine, answer)
        job = self._job(claim, mine, self._progress(former))
        job.progress.attempt, job.progress.refused = mine.attempt, mine.refused
        if mine.attempt - mine.refused > claim.request.max_attempts:
            message = f"run {self.files.run_id}: rank 0 died in attempt {former.attempt}, the last"
            return self._end(job, RunLost(message, request_ids=[*job.progress.lost]))
        if answer_by is not None and answer_by - time.monotonic() < AT_ONCE_S:
            return job.hand_over()
        return job.run(lambda: self._inputs(claim.request, job), answer_by)

    def _step_back(self, mine: Tenure | None, answer: dict[str, Any] | None) -> dict[str, Any]:
        if mine is not None:
            self.files.objects.remove(self.files.key("driver.json"))
        return answer or running(self.files.run_id)

    def _inputs(self, request: Request, job: Job) -> dict[str, Array]:
        return decode_inputs(request, job.manifest.inputs, fetch_inputs(self.service, request))

    def _job(self, claim: Claim, tenure: Tenure, progress: Progress) -> Job:
        manifest = cached_manifest(self.service, claim.bundle_id)
        progress.started_at = claim.deadline - claim.request.deadline_s
        return Job(self.service, self.files, claim.request, manifest, claim.deadline, self.invocation, tenure, progress)

    def _progress(self, former: Tenure) -> Progress:
        """What the former driver left; of a dead one only what it had called before it was handed the run."""
        stored = self.files.objects.get(self.files.key("progress.bin"))
        try:
            progress = load_progress(stored.data) if stored else Progress()
        except (ValueError, TypeError, LookupError, struct.error, CodecError):  # not what a driver of this service left
            stored, progress = None, Progress()
        if stored:
            left = self.files.leaving_calls(progress.left_by, len(stored.data), former)
            progress.calls = merge(progress.calls, left)
        if former.state != "handed" or not stored:
            progress.forget_driver(former.request_id)
        return progress

    def _as_it_is(self) -> dict[str, Any]:
        return self.files.ended() or running(self.files.run_id)

    def _vacant(self, term: int) -> Tenure | None:
        """The newest term, where nobody drives the run: left in `term`, or dead; else None."""
        if self.files.record() is not None:
            return None
        tenure = self._tenures.current()
        if tenure is None or (tenure.state, tenure.term) == ("handed", term):
            return tenure
        return self._await_death(tenure)

    def _await_death(self, tenure: Tenure) -> Tenure | None:
        """The newest term once its driver counts as dead; None when it lives, or the run has ended."""
        left_s = self._tenures.left_s(tenure)
        if left_s > 0:
            self.sleep(left_s + POLL_S)
        newest = self._tenures.current()
        return newest if newest is not None and newest.etag == tenure.etag else None

    def _await_record(self, wait_s: float) -> None:
        until = time.monotonic() + wait_s
        while self.files.record() is None and time.monotonic() < until:
            self.sleep(POLL_S)

    @cached_property
    def _tenures(self) -> Tenures:
        return Tenures(self.files.objects, self.files.run_id)


def find_run(service: Service, run_id: object, invocation: Invocation) -> Succession:
    """The run of an id that a caller gave.

    Raises:
        RunNotFound: it is no run id.
    """
    if not isinstance(run_id, str) or len(run_id) != 32 or set(run_id) - set("0123456789abcdef"):
        raise RunNotFound(f"run: expected 32 hex digits, got {str(run_id)[:80]!r}")
    return Succession(service, service.files(run_id), invocation)
