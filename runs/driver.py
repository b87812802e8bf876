"""A run on rank 0's side: one lane, one deadline, and as many attempts as it takes.

An attempt that loses a worker is given up everywhere: its processes are told, and fenced by the next attempt's number.
What another attempt cannot mend ends the run at once.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from bundle.manifest import Manifest
from runs.choice import BY_LANE, choose_channel, wanted_channel
from runs.claims import Claims
from runs.coordinator import Coordinator, Outcome
from runs.drain import drain_twice
from runs.errors import (
    DeadlineExceeded,
    LeaseLost,
    NoFreeSlots,
    ProgramFailed,
    RunError,
    StartFailed,
    Superseded,
    WorkerFailed,
)
from runs.execute import Execution
from runs.failures import FailureDesk
from runs.faults import LOSSES, fault_of, worker_failed
from runs.keeper import Keeper
from runs.launch import check_quota
from runs.lease import LaneTable, Lease
from runs.log import Log
from runs.progress import Progress
from runs.record import RunFiles
from runs.request import Request
from runs.service import Invocation, Service
from runs.values import Array
from runs.watch import HandOver, Watch, monotonic

# A lease outlives three renewals that fail. One PUT each: 1.5e-5 USD a minute.
LEASE_S = 60.0
RENEW_S = 20.0
# The process that goes on with a run may start cold before it renews the lease.
HAND_OVER_LEASE_S = 180.0
LEASE_CHECK_S = 1.0
# How long the clean-up of a failed run waits for its workers to leave.
LEAVE_S = 5.0
# Before workers are started again that did not all start: other runs may end meanwhile. Two runs of which each holds
# slots that the other lacks must not try again in step.
PAUSE_S, MAX_PAUSE_S = 0.5, 8.0


@dataclass
class Driver:
    """Rank 0 of one run in this process.

    deadline: seconds since 1970. watch: what interrupts rank 0 while it waits.
    lane_wait_s: how long to wait here for a free lane. on_attempt: is told the number of each further attempt.
    """

    service: Service
    manifest: Manifest
    request: Request
    deadline: float
    invocation: Invocation
    progress: Progress
    watch: Watch
    lane_wait_s: float
    on_attempt: Callable[[int], None]

    def run(self, inputs: Mapping[str, Array]) -> Outcome:
        """The answer to these inputs. The lane is returned and nothing of the exchange left, however it ends.

        Raises:
            RunError: why there is none.
            HandOver: the caller has waited long enough; `progress` holds what another process needs.
        """
        self.watch.limit("deadline", monotonic(self.deadline), self._too_late)
        if self.manifest.world_size == 1:
            return self._repeat(lambda: self._alone(inputs))
        with self._lane(self._reserve(sum(array.nbytes for array in inputs.values()))):
            desk = self._desk()
            return self._repeat(lambda: self._attempt(desk, inputs))

    def _too_late(self) -> DeadlineExceeded:
        return DeadlineExceeded(f"run {self.request.run_id}: not done within deadline_s={self.request.deadline_s:g}")

    def _alone(self, inputs: Mapping[str, Array]) -> Outcome:
        execution = Execution(self.service, self.manifest, 0, (0,))
        try:
            with self.progress.phase("load"):
                execution.load()
            with self.progress.phase("compute"):
                outputs = execution.run(None, inputs, self.watch.check, None)
        except LOSSES as error:
            fault = fault_of(0, error, self.invocation.request_id, execution.step)
            raise worker_failed(fault, (0,), [fault.request_id, fault.request_id], None) from error
        return Outcome(outputs, (execution.report(None, self.invocation, {}),))

    def _reserve(self, input_bytes: int) -> Lease:
        size = self.manifest.world_size
        if self.progress.lease is not None:
            return self.progress.lease
        with self.progress.phase("start"):
            express = bool(self.service.settings.express_bucket)
            memory_mb = self.invocation.memory_mb
            wanted = wanted_channel(self.request, self.manifest, input_bytes, memory_mb, express=express)
            self.progress.channel = choose_channel(self.service, wanted, size)
            check_quota(self.service, size)
            self.progress.lease = self._lease()
        self.progress.attempt_at = time.time()
        self._log.info("lane", lane=self.progress.lease.lane, epoch=self.progress.lease.epoch)
        return self.progress.lease

    def _lease(self) -> Lease:
        run_id = self.request.run_id
        former = self._lanes.reclaim(run_id, LEASE_S) if self.progress.abandoned else None
        return former or self._lanes.acquire(run_id, LEASE_S, self.lane_wait_s)

    @contextlib.contextmanager
    def _lane(self, lease: Lease) -> Iterator[None]:
        try:
            with self._kept(lease):
                yield
        except HandOver:
            self.progress.lease = self._lanes.renew(self.progress.lease or lease, HAND_OVER_LEASE_S)
            raise
        except (LeaseLost, Superseded):
            raise
        except BaseException as error:
            self._give_up(error)
            self._leave_lane()
            raise
        self._leave_lane()

    @contextlib.contextmanager
    def _kept(self, lease: Lease) -> Iterator[None]:
        with Keeper(lease, lambda held: self._lanes.renew(held, LEASE_S), RENEW_S) as keeper:
            self.watch.poll(LEASE_CHECK_S, keeper.check)
            try:
                yield
            finally:
                keeper.stop()
                self.progress.lease = keeper.value

    def _leave_lane(self) -> None:
        """Return the lane and delete what was exchanged, unless a zombie's: then both are the next driver's."""
        lease = self.progress.lease
        if lease is None:
            return
        if self.progress.abandoned:
            lease = self._lanes.renew(lease, LEASE_S)
            drain_twice(self.service, self.request.run_id, lease.lane, self.manifest.world_size)
        if self._lanes.release(lease):
            self._files.sweep()

    def _desk(self) -> FailureDesk:
        desk = FailureDesk(self.request.run_id, self.progress.attempt, self.progress.mac_key)
        if self.progress.channel not in BY_LANE and self.progress.lease is not None:
            desk.poll_queue(self.watch, self.service, self.progress.lease.lane)
        return desk

    def _repeat(self, attempt: Callable[[], Outcome]) -> Outcome:
        """Attempt after attempt, until one ends well or none would."""
        while True:
            try:
                return attempt()
            except (StartFailed, WorkerFailed) as error:
                self._log.error("attempt lost", error=error.to_json())
                self._check_mendable(error)
                self._bar_late_starts()
                self.progress.begin_attempt()
                self.on_attempt(self.progress.attempt)
                if isinstance(error, StartFailed):
                    self._sleep(min(MAX_PAUSE_S, PAUSE_S * 2**self.progress.refused) * random.uniform(0.5, 1.5))

    def _attempt(self, desk: FailureDesk, inputs: Mapping[str, Array]) -> Outcome:
        desk.attempt, desk.too_few = self.progress.attempt, None
        return Coordinator(
            self.service,
            self.manifest,
            self.request,
            self.deadline,
            self.invocation,
            self.progress,
            self.watch,
            desk,
            self._too_late,
        ).run(inputs)

    def _check_mendable(self, error: RunError) -> None:
        """Let the error pass where another attempt may end better."""
        self.progress.abandoned = self.progress.abandoned or self.progress.launched
        cause = str(error.details.get("lasting", ""))
        if cause and cause in self.progress.causes:
            raise ProgramFailed(f"the same in {self.progress.attempt} attempts: {error}", **error.details) from error
        if cause:
            self.progress.causes.append(cause)
        waited_s = time.time() - self.progress.started_at
        if isinstance(error, NoFreeSlots) and waited_s < self.request.start_s:
            self.progress.refused += 1
        elif self.progress.attempt - self.progress.refused >= self.request.max_attempts:
            raise error

    def _bar_late_starts(self) -> list[int]:
        """Keep the workers of this attempt from coming that have not come; the slots of those that have."""
        if not self.progress.launched:
            return []
        missing = set(range(1, self.manifest.world_size)) - set(self.progress.hellos)
        return [*self.progress.hellos, *self._claims.bar(sorted(missing))]

    def _give_up(self, error: BaseException) -> None:
        """Wait for the workers of the attempt under way to leave, so that they leave nothing behind."""
        self.progress.lose_attempt()
        self.progress.abandoned = self.progress.abandoned or self.progress.launched
        dead = error.details.get("slot") if isinstance(error, RunError) else None
        with contextlib.suppress(BotoCoreError, ClientError):
            self._claims.await_left([slot for slot in self._bar_late_starts() if slot != dead], LEAVE_S)

    def _sleep(self, seconds: float) -> None:
        self.watch.check()
        time.sleep(seconds)

    @property
    def _log(self) -> Log:
        return rank_0_log(self.invocation, self.request, self.progress)

    @property
    def _lanes(self) -> LaneTable:
        return LaneTable(self.service.objects, self.service.settings.lanes, sleep=self._sleep)

    @property
    def _claims(self) -> Claims:
        return Claims(self.service.objects, self.request.run_id, self.progress.attempt)

    @property
    def _files(self) -> RunFiles:
        return self.service.files(self.request.run_id)


def rank_0_log(invocation: Invocation, request: Request, progress: Progress) -> Log:
    """The log of rank 0 in the attempt under way."""
    return invocation.log.bind(run_id=request.run_id, attempt=progress.attempt, rank=0, slot=0)
