"""Rank 0's side of one attempt: start workers, hear their hello, bind ranks, compute, collect.

Every stage looks at the run's progress first, so that a run handed over by another process goes on where it was.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bundle.manifest import Manifest
from channels.base import Channel
from channels.errors import ChannelError, ChannelTimeout, Fenced, RunAborted
from channels.tags import ASSIGN, HELLO, REPORT, Tag
from engine import needed_assets
from runs.binding import bind_ranks
from runs.claims import Claims
from runs.errors import DeadlineExceeded, LeaseLost, RunError, StartFailed, WorkerFailed
from runs.execute import Execution
from runs.failures import FailureDesk
from runs.faults import LOSSES, Fault, SlotFailed, fault_of, parse_fault, worker_failed
from runs.launch import concurrency_quota, start_workers
from runs.patience import LOOK_S, Patience
from runs.progress import Progress
from runs.report import RankReport
from runs.request import Request
from runs.service import Invocation, Service
from runs.start import StartMessage
from runs.values import Array
from runs.vigil import Vigil, absent
from runs.watch import HandOver, Watch, monotonic
from runs.wiring import open_channel

# A cold start takes some seconds. A worker that has not said hello by then is started once more; where more than half
# have not, the platform is slow or the account has no slots left, and copies would only stand in the same queue.
HEDGE_S = 30.0
FEW = 2


@dataclass(frozen=True)
class Outcome:
    """A run that ended well: the graph's outputs and what each rank did."""

    outputs: dict[str, Array]
    reports: tuple[RankReport, ...]


@dataclass
class Coordinator:
    """One attempt at a run.

    deadline: seconds since 1970. watch: what interrupts rank 0 while it waits. desk: hears of dead workers.
    """

    service: Service
    manifest: Manifest
    request: Request
    deadline: float
    invocation: Invocation
    progress: Progress
    watch: Watch
    desk: FailureDesk
    too_late: Callable[[], DeadlineExceeded]

    def run(self, inputs: Mapping[str, Array]) -> Outcome:
        """The answer to these inputs. The workers are told, however it ends.

        Raises:
            StartFailed, WorkerFailed: this attempt is lost.
            RunError: the run is.
            HandOver: the caller has waited long enough; `progress` holds what another process needs.
        """
        execution = Execution(self.service, self.manifest, 0, self.progress.slots)
        with self._channel(execution) as channel:
            try:
                self._start(channel, execution)
                with self.watch.polled(LOOK_S, self._patience(channel, execution).look):
                    outputs = self._compute(execution, channel, inputs)
                    return Outcome(outputs, self._collect(execution, channel))
            except HandOver:
                self.progress.machine = execution.machine.state if execution.machine else self.progress.machine
                raise

    @contextlib.contextmanager
    def _channel(self, execution: Execution) -> Iterator[Channel]:
        start = self._start_message(0)
        channel = open_channel(self.service, start, check=self.watch.check, on_foreign=self.desk.receive)
        if self.progress.inbox:
            channel.restore_inbox(self.progress.inbox)
        try:
            yield channel
        except HandOver:
            self.progress.inbox = channel.save_inbox()
            raise
        except Fenced as error:
            raise LeaseLost(str(error)) from error
        except Exception as error:
            _abort(channel, str(error))
            raise self._as_run_error(error, execution) from error
        else:
            channel.flush()
        finally:
            channel.close()

    def _patience(self, channel: Channel, execution: Execution) -> Patience:
        vigil = Vigil(self._claims, lambda: self._at_work(channel), channel.idle_s)

        def stalled(seconds: float) -> WorkerFailed:
            fault = Fault(0, "Stalled", f"rank 0 has heard nothing for {seconds:.1f} s")
            return self._worker_failed(fault, execution)

        def quiet() -> None:
            fault = vigil.verdict()
            if fault is not None:
                raise self._worker_failed(fault, execution)

        def progress() -> object:
            return channel.stats.frames_received, execution.step

        return Patience(self.request.stall_s, self.progress.attempt, progress, stalled, time.monotonic, quiet)

    def _at_work(self, channel: Channel) -> list[int]:
        """The slots whose report has not come."""
        return [slot for slot in range(1, self.manifest.world_size) if not channel.has_arrived(slot, Tag(REPORT))]

    @property
    def _claims(self) -> Claims:
        return Claims(self.service.objects, self.request.run_id, self.progress.attempt)

    def _as_run_error(self, error: Exception, execution: Execution) -> Exception:
        if isinstance(error, RunError):
            return error
        if isinstance(error, ChannelTimeout):
            return self.too_late()
        if isinstance(error, SlotFailed):
            return self._worker_failed(error.fault, execution)
        if isinstance(error, RunAborted):
            return self._worker_failed(parse_fault(error.reason, error.source), execution)
        if isinstance(error, LOSSES):
            return self._worker_failed(fault_of(0, error, self.invocation.request_id, execution.step), execution)
        return error

    def _worker_failed(self, fault: Fault, execution: Execution) -> WorkerFailed:
        request_id = fault.request_id or str(self.progress.hellos.get(fault.slot, {}).get("request_id", ""))
        ids = [self.invocation.request_id, *([request_id] if request_id else [])]
        return worker_failed(fault, self.progress.slots, ids, execution.step)

    def _start_message(self, slot: int) -> StartMessage:
        return StartMessage(
            run_id=self.request.run_id,
            attempt=self.progress.attempt,
            lane=self.progress.lease.lane if self.progress.lease else 0,
            epoch=self.progress.lease.epoch if self.progress.lease else 0,
            slot=slot,
            slots=self.manifest.world_size,
            bundle_id=self.manifest.bundle_id,
            channel=self.progress.channel,
            prefer=self.request.prefer,
            deadline=self.deadline,
            mac_key=self.progress.mac_key,
        )

    def _start(self, channel: Channel, execution: Execution) -> None:
        if self.progress.slots:
            return
        others = range(1, self.manifest.world_size)
        with self.progress.phase("start"):
            if not self.progress.launched:
                self.progress.launched = True
                start_workers(self.service, [self._start_message(slot) for slot in others])
        with self.progress.phase("load"):  # while the workers wake up
            execution.load()
        with self.progress.phase("start"):
            held = self._hear_hellos(channel)
            self.progress.slots = execution.slots = bind_ranks(needed_assets(self.manifest), held)
            assigned = {"slots": self.progress.slots}
            channel.send_json_many([(slot, Tag(ASSIGN), assigned) for slot in others])

    def _hear_hellos(self, channel: Channel) -> list[frozenset[str]]:
        """What each slot holds, once all have come."""
        size, hellos = self.manifest.world_size, self.progress.hellos

        def too_few(cause: str) -> StartFailed:
            quota = concurrency_quota(self.service)
            return StartFailed(f"needed {size} slots, got {len(hellos) + 1}; quota {quota}; {cause}")

        self.desk.too_few = too_few
        began_at, start_s = monotonic(self.progress.attempt_at), self.request.start_s
        with (
            self.watch.limited("start", began_at + start_s, lambda: too_few(f"no hello within start_s={start_s:g}")),
            self.watch.limited("hedge", began_at + self._late_s, _Late),
        ):
            while missing := [slot for slot in range(1, size) if slot not in hellos]:
                self._hear_one(channel, missing)
        self.desk.too_few = None
        return [frozenset(hellos[slot]["held"]) if slot else frozenset() for slot in range(size)]

    def _hear_one(self, channel: Channel, missing: Sequence[int]) -> None:
        """Wait for a hello. Those that are late are started once more: the claims let one copy of each in."""
        try:
            slot, _, hello = channel.recv_json_any([(slot, Tag(HELLO)) for slot in missing])
            self.progress.hellos[slot] = _mapping(hello)
        except _Late:
            self._check_present(missing)
            if len(missing) > max(FEW, self.manifest.world_size // 2):
                self.watch.postpone("hedge", self._late_s)
                return
            self.watch.lift("hedge")
            self.progress.hedged = True
            start_workers(self.service, [self._start_message(slot) for slot in missing])

    @property
    def _late_s(self) -> float:
        return min(HEDGE_S, self.request.start_s / 2)

    def _check_present(self, missing: Sequence[int]) -> None:
        """A worker that has claimed its slot and is not there any more keeps every copy out: only an attempt helps."""
        fault = absent(self._claims.pulses(missing))
        if fault is not None and self.desk.too_few is not None:
            raise self.desk.too_few(f"slot {fault.slot}: {fault.message}")

    def _compute(self, execution: Execution, channel: Channel, inputs: Mapping[str, Array]) -> dict[str, Array]:
        with self.progress.phase("load"):
            execution.load()
        waited = channel.stats.wait_s
        try:
            with self.progress.phase("compute"):
                return execution.run(channel, inputs, self.watch.check, self.progress.machine)
        finally:
            self._move_wait(channel.stats.wait_s - waited)

    def _collect(self, execution: Execution, channel: Channel) -> tuple[RankReport, ...]:
        with self.progress.phase("collect"):
            others = range(1, self.manifest.world_size)
            reports = [RankReport.from_json(_mapping(channel.recv_json(slot, Tag(REPORT)))) for slot in others]
        own = execution.report(channel, self.invocation, {})
        return tuple(sorted([own, *reports], key=lambda report: report.rank))

    def _move_wait(self, seconds: float) -> None:
        self.progress.spend("compute", -seconds)
        self.progress.spend("wait", seconds)


class _Late(Exception):
    """Some workers have not said hello for so long that their events may be lost."""


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise WorkerFailed(f"message of a worker: expected an object, got {type(value).__name__}")
    return value


def _abort(channel: Channel, reason: str) -> None:
    with contextlib.suppress(ChannelError):
        channel.abort(reason)
        channel.flush()
