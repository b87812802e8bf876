"""What `infer` does with an event: a request, or a run that another process handed over.

Stages of a request: parse, find the model, hold the inputs against its signature, claim the run id, compute, store the
answer. A run id that was claimed before is waited for, not run again. A run that outlives `wait_s` is handed over: its
progress goes to S3, an asynchronous invocation goes on with it, and the caller is told `running`.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bundle.errors import BundleError, MissingKeyError
from bundle.manifest import Manifest
from bundle.registry import read_record
from costs import CallCount, merge
from runs.answer import bill, figures, predictions, reported_calls, usage_of, wanted
from runs.driver import Driver
from runs.errors import InternalError, ModelNotFound, RunError
from runs.inputs import fetch_inputs
from runs.manifests import cached_manifest
from runs.progress import Progress, dump_progress, load_progress
from runs.record import RunFiles, running
from runs.report import RankReport
from runs.request import Request, check_outputs, decode_inputs, parse_request
from runs.service import Invocation, Service
from runs.values import Array
from runs.watch import HandOver, Watch

# Time kept for storing the answer before Lambda or the caller gives up.
MARGIN_S = 5.0
POLL_S = 0.2


def serve(service: Service, event: object, invocation: Invocation) -> dict[str, Any]:
    """The answer to an event of `infer`; never raises for what a caller can cause."""
    if isinstance(event, Mapping) and set(event) == {"resume"}:
        return _resume(service, str(event["resume"]), invocation)
    run_id = ""
    try:
        request = parse_request(event)
        run_id = request.run_id
        manifest, inputs = _prepare(service, request)
    except RunError as error:
        return {"run_id": run_id, "status": "failed", "error": error.to_json()}
    return _accept(service, request, manifest, inputs, invocation)


def _prepare(service: Service, request: Request) -> tuple[Manifest, dict[str, Array]]:
    try:
        record = read_record(service.store, request.model)
        manifest = cached_manifest(service, record.bundle_id)
    except MissingKeyError:
        raise ModelNotFound(f"model {request.model!r} is not registered: `fsd models` lists those that are") from None
    except BundleError as error:
        raise ModelNotFound(f"model {request.model!r} cannot be read: {error}") from error
    check_outputs(request.outputs, manifest.outputs)
    return manifest, decode_inputs(request, manifest.inputs, fetch_inputs(service, request))


def _accept(
    service: Service, request: Request, manifest: Manifest, inputs: dict[str, Array], invocation: Invocation
) -> dict[str, Any]:
    files = RunFiles(service.objects, request.run_id)
    answer_by = invocation.started_at + request.wait_s
    request = replace(request, deadline_s=min(request.deadline_s, 86_400.0))
    if not files.claim(request, time.time() + request.deadline_s, manifest.bundle_id):
        return _await(files, answer_by)
    job = _Job(service, files, request, manifest, time.time() + request.deadline_s, invocation, Progress())
    if request.wait_s == 0:
        return job.hand_over()
    return job.run(inputs, answer_by)


def _resume(service: Service, run_id: str, invocation: Invocation) -> dict[str, Any]:
    files = RunFiles(service.objects, run_id)
    claim = files.read_claim()
    manifest = cached_manifest(service, claim.bundle_id)
    inputs = decode_inputs(claim.request, manifest.inputs, fetch_inputs(service, claim.request))
    stored = files.objects.get(files.key("progress.bin"))
    progress = load_progress(stored.data) if stored else Progress()
    if stored:
        progress.calls = merge(progress.calls, files.hand_over_calls(len(stored.data)))
    job = _Job(service, files, claim.request, manifest, claim.deadline, invocation, progress)
    return job.run(inputs, None)


def _await(files: RunFiles, answer_by: float) -> dict[str, Any]:
    """The answer of a run that somebody else drives, if it comes in time."""
    while True:
        answer = files.record()
        if answer is not None:
            return answer
        if time.monotonic() + POLL_S >= answer_by:
            return running(files.run_id)
        time.sleep(POLL_S)


class _Job:
    """One process's share of a run."""

    def __init__(
        self,
        service: Service,
        files: RunFiles,
        request: Request,
        manifest: Manifest,
        deadline: float,
        invocation: Invocation,
        progress: Progress,
    ) -> None:
        self._service = service
        self._files = files
        self._request = request
        self._manifest = manifest
        self._deadline = deadline
        self._invocation = invocation
        self._progress = progress

    def run(self, inputs: dict[str, Array], answer_by: float | None) -> dict[str, Any]:
        """Compute and store the answer; hand over at `answer_by` (time.monotonic) or when Lambda's time is up."""
        watch = Watch()
        leave_at = self._invocation.ends_at - 2 * MARGIN_S
        watch.limit("wait", min(leave_at, leave_at if answer_by is None else answer_by), HandOver)
        run = Driver(
            self._service, self._manifest, self._request, self._deadline, self._invocation, self._progress, watch
        )
        try:
            outcome = run.run(inputs)
            head = {"status": "done", **predictions(wanted(outcome, self._request), self._request, self._files)}
            return self._finish(head, outcome.reports)
        except HandOver:
            return self.hand_over()
        except Exception as error:  # noqa: BLE001 - the run's record says how it ended, whatever it was
            return self._finish({"status": "failed", "error": _as_json(error)}, ())

    def hand_over(self) -> dict[str, Any]:
        """Leave the run to an asynchronous invocation of `infer`."""
        self._progress.calls = merge(self._progress.calls, self._calls())
        self._progress.segments.append((self._invocation.memory_mb, self._seconds()))
        self._files.objects.put(self._files.key("progress.bin"), dump_progress(self._progress))
        self._service.clients.functions.invoke(
            FunctionName=self._service.settings.infer_function,
            InvocationType="Event",
            Payload=self._files.resume_event(),
        )
        return running(self._request.run_id)

    def _finish(self, head: dict[str, Any], reports: tuple[RankReport, ...]) -> dict[str, Any]:
        pairs = [(report.memory_mb, report.seconds) for report in reports if report.rank > 0]
        usage = usage_of("infer", [*self._progress.segments, (self._invocation.memory_mb, self._seconds()), *pairs])
        answer = {
            "run_id": self._request.run_id,
            "model": self._request.model,
            "version": self._manifest.version[:12],
            **head,
            "attempts": self._progress.attempt,
            "calls_complete": not self._progress.abandoned,
            "seconds": round(time.time() - self._progress.started_at, 4),
            **figures(self._manifest, self._progress, reports),
        }
        calls = merge(self._progress.calls, self._calls(), reported_calls(reports))
        return self._files.finish(answer, calls, lambda counted: bill(counted, usage))

    def _calls(self) -> dict[str, CallCount]:
        return self._service.calls_of(self._invocation)

    def _seconds(self) -> float:
        return time.monotonic() - self._invocation.started_at


def _as_json(error: Exception) -> dict[str, object]:
    if isinstance(error, RunError):
        return error.to_json()
    print(json.dumps({"level": "error", "error": "".join(traceback.format_exception(error))}))
    return InternalError(f"{type(error).__name__}: {error}").to_json()
