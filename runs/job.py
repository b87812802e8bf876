"""One process's share of a run: drive it to its record, or leave it to the next process.

A run that outlives `wait_s`, or this invocation, is handed over: its progress goes to S3 and an asynchronous invocation
goes on with it. One that nobody waits for and that finds no lane stands in line: a queue calls it again later.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from bundle.manifest import Manifest
from costs import CallCount, merge
from runs.answer import bill, figures, predictions, reported_calls, usage_of, wanted
from runs.coordinator import Outcome
from runs.driver import Driver, rank_0_log
from runs.errors import Cancelled, InternalError, NoFreeLane, RunError, ServiceFailed, Superseded
from runs.faults import LOSSES
from runs.keeper import Keeper
from runs.log import Log
from runs.progress import Progress, dump_progress
from runs.record import RunFiles, running
from runs.report import RankReport
from runs.request import Request
from runs.service import Invocation, Service
from runs.tenure import HAND_OVER_S, RENEW_S, Tenure, Tenures
from runs.values import Array
from runs.watch import HandOver, Watch

# Time kept for storing the answer before Lambda or the caller gives up.
MARGIN_S = 5.0
CHECK_S = 0.5
# How often a driver asks whether its run was cancelled: one GET each, 4e-7 USD.
LOOK_S = 1.0
# How long a run stands in line before it is called again: a quarter of what it has waited, within these.
LINE_S = (1, 15)

Inputs = Callable[[], dict[str, Array]]


@dataclass
class Job:
    """A run, as far as this process drives it.

    deadline: seconds since 1970. tenure: this process's right to drive.
    """

    service: Service
    files: RunFiles
    request: Request
    manifest: Manifest
    deadline: float
    invocation: Invocation
    tenure: Tenure
    progress: Progress = field(default_factory=Progress)

    def run(self, inputs: Inputs, answer_by: float | None) -> dict[str, Any]:
        """Compute and store the answer; hand over at `answer_by` (time.monotonic) or when Lambda's time is up.

        answer_by: None when nobody waits.
        """
        try:
            return self._drive(inputs, answer_by)
        except Superseded:
            return self.files.ended() or running(self.request.run_id)
        except Exception as error:  # noqa: BLE001 - the run's record says how it ended, whatever it was
            return self.fail(error)

    def fail(self, error: Exception) -> dict[str, Any]:
        """Store why there is no answer, unless another process drives the run by now."""
        try:
            if not isinstance(error, Cancelled):
                self.tenure = self._tenures.renew(self.tenure)
        except Superseded:
            return self.files.ended() or running(self.request.run_id)
        except Cancelled as cancelled:
            error = cancelled
        if not isinstance(error, RunError):
            self._log.error("bug", traceback="".join(traceback.format_exception(error)))
        status = "cancelled" if isinstance(error, Cancelled) else "failed"
        return self._finish({"status": status, "error": _as_json(error)}, ())

    def hand_over(self) -> dict[str, Any]:
        """Leave the run to an asynchronous invocation of `infer`."""
        self._leave("hand", HAND_OVER_S)
        self.service.clients.functions.invoke(
            FunctionName=self.service.settings.infer_function,
            InvocationType="Event",
            Payload=self.files.resume_event(self.tenure.term),
        )
        return running(self.request.run_id)

    def _drive(self, inputs: Inputs, answer_by: float | None) -> dict[str, Any]:
        self._log.info("drive", term=self.tenure.term, model=self.request.model)
        watch = Watch()
        leave_at = self.invocation.ends_at - 2 * MARGIN_S
        watch.limit("wait", leave_at if answer_by is None else min(leave_at, answer_by), HandOver)
        try:
            outcome = self._outcome(watch, inputs, self.request.lane_wait_s if answer_by is not None else 0.0)
        except HandOver:
            return self.hand_over()
        except NoFreeLane as error:
            if answer_by is None and self._waited_s() < self.request.lane_wait_s:
                return self._stand_in_line()
            raise NoFreeLane(f"{error} (asked for {self._waited_s():.0f} s ago)") from error
        outputs = predictions(wanted(outcome, self.request), self.request, self.files)
        return self._finish({"status": "done", **outputs}, outcome.reports)

    def _outcome(self, watch: Watch, inputs: Inputs, lane_wait_s: float) -> Outcome:
        with Keeper(self.tenure, self._tenures.renew, RENEW_S) as keeper:
            watch.poll(CHECK_S, keeper.check)
            watch.poll(LOOK_S, lambda: self._tenures.check(keeper.value))
            try:
                return Driver(
                    self.service,
                    self.manifest,
                    self.request,
                    self.deadline,
                    self.invocation,
                    self.progress,
                    watch,
                    lane_wait_s,
                    lambda attempt: keeper.change(lambda tenure: self._renew(tenure, attempt)),
                ).run(inputs())
            finally:
                keeper.stop()
                self.tenure = keeper.value

    def _renew(self, tenure: Tenure, attempt: int) -> Tenure:
        return self._tenures.renew(tenure, attempt=attempt, refused=self.progress.refused)

    def _stand_in_line(self) -> dict[str, Any]:
        delay_s = max(LINE_S[0], min(LINE_S[1], int(self._waited_s() / 4)))
        self._leave("line", delay_s + HAND_OVER_S)
        self.service.clients.sqs.send_message(
            QueueUrl=self.service.settings.line_queue,
            MessageBody=self.files.resume_event(self.tenure.term).decode(),
            DelaySeconds=delay_s,
        )
        return running(self.request.run_id)

    def _leave(self, by: str, within_s: float) -> None:
        """Store what the next process needs, and let it take over."""
        self._log.info("left", by=by)
        self.progress.left_by = by
        self.progress.calls = merge(self.progress.calls, self._calls())
        self.progress.segments.append((self.invocation.memory_mb, self._seconds()))
        self.files.objects.put(self.files.key("progress.bin"), dump_progress(self.progress))
        self.tenure = self._tenures.hand(self.tenure, within_s)

    def _finish(self, head: dict[str, Any], reports: tuple[RankReport, ...]) -> dict[str, Any]:
        pairs = [(report.memory_mb, report.seconds) for report in reports if report.rank > 0]
        usage = usage_of("infer", [*self.progress.segments, (self.invocation.memory_mb, self._seconds()), *pairs])
        answer = {
            "run_id": self.request.run_id,
            "model": self.request.model,
            "version": self.manifest.version[:12],
            **head,
            "attempts": self.progress.attempt,
            "calls_complete": not (self.progress.abandoned or self.progress.hedged),
            **({"lost_request_ids": self.progress.lost} if self.progress.lost else {}),
            "seconds": round(time.time() - self.progress.started_at, 4),
            **figures(self.manifest, self.progress, reports),
        }
        calls = merge(self.progress.calls, self._calls(), reported_calls(reports))
        self._log.info("end", status=head["status"], seconds=answer["seconds"], error=head.get("error"))
        leftovers = self._leftovers(cancelled=head["status"] == "cancelled")
        final = self.files.finish(answer, calls, lambda counted: bill(counted, usage), leftovers)
        if self.progress.abandoned:
            self.files.sweep_ended()  # what came between clean-up and record: who comes later looks for the record
        if "usd" in final:  # a record that is not this run's has none
            self._log.metrics(self.service.settings.stage, _metrics(final))
        return final

    def _leftovers(self, *, cancelled: bool) -> list[str]:
        written = {"driver.json": cancelled or self.tenure.etag, "progress.bin": self.progress.segments}
        return [name for name, is_there in written.items() if is_there]

    @property
    def _log(self) -> Log:
        return rank_0_log(self.invocation, self.request, self.progress)

    @cached_property
    def _tenures(self) -> Tenures:
        return Tenures(self.files.objects, self.request.run_id)

    def _calls(self) -> dict[str, CallCount]:
        return self.service.calls_of(self.invocation)

    def _seconds(self) -> float:
        return time.monotonic() - self.invocation.started_at

    def _waited_s(self) -> float:
        return time.time() - (self.deadline - self.request.deadline_s)


def _metrics(answer: Mapping[str, Any]) -> dict[str, float]:
    failures = int(answer["status"] == "failed")
    figures = {"Attempts": answer["attempts"], "Seconds": answer["seconds"], "Usd": answer["usd"]["total"]}
    return {"Runs": 1, "Failures": failures, **figures}


def _as_json(error: Exception) -> dict[str, object]:
    if isinstance(error, RunError):
        return error.to_json()
    if isinstance(error, LOSSES):
        return ServiceFailed(f"{type(error).__name__}: {error}").to_json()
    return InternalError(f"{type(error).__name__}: {error}").to_json()
