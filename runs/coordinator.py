"""Rank 0's side of a run: lease a lane, start workers, hear their hello, bind ranks, compute, collect, return the lane.

Every stage looks at the run's progress first, so that a run handed over by another process goes on where it was.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bundle.manifest import Manifest
from channels.base import Channel
from channels.errors import ChannelError, ChannelTimeout, Fenced, RunAborted
from channels.tags import ASSIGN, HELLO, REPORT, Tag
from engine import needed_assets
from runs.binding import bind_ranks
from runs.errors import DeadlineExceeded, LeaseLost, RunError, StartFailed, WorkerFailed
from runs.execute import Execution
from runs.failures import FailureDesk
from runs.launch import check_quota, concurrency_quota, start_workers
from runs.lease import LaneTable
from runs.progress import Progress
from runs.report import RankReport
from runs.request import Request
from runs.service import Invocation, Service
from runs.start import StartMessage
from runs.values import Array
from runs.watch import HandOver, Watch
from runs.wiring import choose_channel, open_channel

# A lease outlives its run's deadline by this much, for the clean-up.
LEASE_GRACE_S = 30.0


@dataclass(frozen=True)
class Outcome:
    """A run that ended well: the graph's outputs and what each rank did."""

    outputs: dict[str, Array]
    reports: tuple[RankReport, ...]


@dataclass
class Coordinator:
    """One attempt at a run.

    deadline: seconds since 1970. watch: what interrupts rank 0 while it waits.
    """

    service: Service
    manifest: Manifest
    request: Request
    deadline: float
    invocation: Invocation
    progress: Progress
    watch: Watch

    def run(self, inputs: Mapping[str, Array]) -> Outcome:
        """The answer to these inputs. The lane is returned and the workers told, however it ends.

        Raises:
            RunError: why there is none.
            HandOver: the caller has waited long enough; `progress` holds what another process needs.
        """
        self.watch.limit("deadline", _monotonic(self.deadline), self._too_late)
        if self.manifest.world_size == 1:
            return self._alone(inputs)
        self._reserve()
        desk = FailureDesk(self.request.run_id, self.progress.attempt)
        with self._lane(), self._channel(desk) as channel:
            execution = Execution(self.service, self.manifest, 0, self.progress.slots)
            try:
                self._start(channel, desk, execution)
                outputs = self._compute(execution, channel, inputs)
                return Outcome(outputs, self._collect(execution, channel))
            except HandOver:
                self.progress.machine = execution.machine.state if execution.machine else self.progress.machine
                raise

    def _too_late(self) -> DeadlineExceeded:
        return DeadlineExceeded(f"run {self.request.run_id}: not done within deadline_s={self.request.deadline_s:g}")

    def _alone(self, inputs: Mapping[str, Array]) -> Outcome:
        execution = Execution(self.service, self.manifest, 0, (0,))
        with self._phase("load"):
            execution.load()
        with self._phase("compute"):
            outputs = execution.run(None, inputs, self.watch.check, None)
        return Outcome(outputs, (execution.report(None, self.invocation, {}),))

    def _reserve(self) -> None:
        size = self.manifest.world_size
        if self.progress.lease is not None:
            return
        with self._phase("start"):
            self.progress.channel = choose_channel(self.service, self.request.channel, size)
            check_quota(self.service, size)
            lanes = LaneTable(self.service.objects, self.service.settings.lanes)
            duration_s = self.deadline - time.time() + LEASE_GRACE_S
            self.progress.lease = lanes.acquire(self.request.run_id, duration_s, self.request.lane_wait_s)

    @contextlib.contextmanager
    def _lane(self) -> Iterator[None]:
        try:
            yield
        except (HandOver, LeaseLost):
            raise
        except BaseException:
            self._release()
            raise
        self._release()

    def _release(self) -> None:
        if self.progress.lease is not None:
            LaneTable(self.service.objects, self.service.settings.lanes).release(self.progress.lease)

    @contextlib.contextmanager
    def _channel(self, desk: FailureDesk) -> Iterator[Channel]:
        channel = open_channel(self.service, self._start_message(0), check=self.watch.check, on_foreign=desk.receive)
        if self.progress.inbox:
            channel.restore_inbox(self.progress.inbox)
        if self.progress.channel != "queue":
            desk.poll_queue(self.watch, self.service, self._lane_number)
        try:
            yield channel
        except HandOver:
            self.progress.inbox = channel.save_inbox()
            raise
        except Fenced as error:
            raise LeaseLost(str(error)) from error
        except Exception as error:
            _abort(channel, str(error))
            raise _as_run_error(error, self._too_late()) from error
        else:
            _clean(channel)
        finally:
            channel.close()

    @property
    def _lane_number(self) -> int:
        return self.progress.lease.lane if self.progress.lease else 0

    def _start_message(self, slot: int) -> StartMessage:
        return StartMessage(
            run_id=self.request.run_id,
            attempt=self.progress.attempt,
            lane=self._lane_number,
            epoch=self.progress.lease.epoch if self.progress.lease else 0,
            slot=slot,
            slots=self.manifest.world_size,
            bundle_id=self.manifest.bundle_id,
            channel=self.progress.channel,
            deadline=self.deadline,
            mac_key=self.progress.mac_key,
        )

    def _start(self, channel: Channel, desk: FailureDesk, execution: Execution) -> None:
        if self.progress.slots:
            return
        others = range(1, self.manifest.world_size)
        with self._phase("start"):
            if not self.progress.launched:
                start_workers(self.service, [self._start_message(slot) for slot in others])
                self.progress.launched = True
        with self._phase("load"):  # while the workers wake up
            execution.load()
        with self._phase("start"):
            held = self._hear_hellos(channel, desk)
            self.progress.slots = execution.slots = bind_ranks(needed_assets(self.manifest), held)
            for slot in others:
                channel.send_json(slot, Tag(ASSIGN), {"slots": self.progress.slots})

    def _hear_hellos(self, channel: Channel, desk: FailureDesk) -> list[frozenset[str]]:
        size = self.manifest.world_size
        held: list[frozenset[str]] = [frozenset()] * size
        missing = set(range(1, size))

        def too_few(cause: str) -> StartFailed:
            quota = concurrency_quota(self.service)
            return StartFailed(f"needed {size} slots, got {size - len(missing)}; quota {quota}; {cause}")

        desk.too_few = too_few
        at = _monotonic(self.progress.started_at) + self.request.start_s
        with self.watch.limited("start", at, lambda: too_few(f"no hello within start_s={self.request.start_s:g}")):
            while missing:
                slot, _, hello = channel.recv_json_any([(slot, Tag(HELLO)) for slot in sorted(missing)])
                held[slot] = _held(hello)
                missing.discard(slot)
        desk.too_few = None
        return held

    def _compute(self, execution: Execution, channel: Channel, inputs: Mapping[str, Array]) -> dict[str, Array]:
        with self._phase("load"):
            execution.load()
        waited = channel.stats.wait_s
        try:
            with self._phase("compute"):
                return execution.run(channel, inputs, self.watch.check, self.progress.machine)
        finally:
            self._move_wait(channel.stats.wait_s - waited)

    def _collect(self, execution: Execution, channel: Channel) -> tuple[RankReport, ...]:
        with self._phase("collect"):
            others = range(1, self.manifest.world_size)
            reports = [RankReport.from_json(_mapping(channel.recv_json(slot, Tag(REPORT)))) for slot in others]
        own = execution.report(channel, self.invocation, {})
        return tuple(sorted([own, *reports], key=lambda report: report.rank))

    def _move_wait(self, seconds: float) -> None:
        self.progress.spend("compute", -seconds)
        self.progress.spend("wait", seconds)

    @contextlib.contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.progress.spend(name, time.perf_counter() - started)


def _monotonic(at: float) -> float:
    return time.monotonic() + at - time.time()


def _held(hello: object) -> frozenset[str]:
    held = hello.get("held", []) if isinstance(hello, dict) else []
    return frozenset(str(asset) for asset in held)


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise WorkerFailed(f"report: expected an object, got {type(value).__name__}")
    return value


def _abort(channel: Channel, reason: str) -> None:
    with contextlib.suppress(ChannelError):
        channel.abort(reason)
    with contextlib.suppress(ChannelError):
        _clean(channel)


def _clean(channel: Channel) -> None:
    channel.flush()
    channel.cleanup()


def _as_run_error(error: Exception, too_late: DeadlineExceeded) -> Exception:
    if isinstance(error, RunError):
        return error
    if isinstance(error, ChannelTimeout):
        return too_late
    if isinstance(error, RunAborted):
        return WorkerFailed(f"worker failed: {error.reason}")
    if isinstance(error, ChannelError):
        return WorkerFailed(f"exchange failed: {error}")
    return error
