"""What `infer` does with an event: a request, or word of a run that another process left.

Stages of a request: parse, find the model, hold the inputs against its signature, claim the run id, compute, store the
answer. A run id that was claimed before is waited for, not run again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from bundle.errors import BundleError, MissingKeyError
from bundle.manifest import Manifest
from bundle.registry import find_version
from runs.budget import check_budget
from runs.errors import BadRequest, ModelNotFound, RunError
from runs.faults import cause_of
from runs.inputs import fetch_inputs
from runs.job import Job
from runs.manifests import cached_manifest
from runs.request import Request, check_outputs, decode_inputs, parse_request
from runs.service import Invocation, Service
from runs.succession import Succession, find_run
from runs.tenure import Tenure
from runs.values import Array


def serve(service: Service, event: object, invocation: Invocation) -> dict[str, Any]:
    """The answer to an event of `infer`; never raises for what a caller can cause."""
    run_id = ""
    try:
        word = _word_of_run(event)
        if word is not None:
            run_id = str(word[1])[:32]
            return _act(find_run(service, word[1], invocation), *word)
        request = parse_request(event)
        run_id = request.run_id
        manifest, inputs = _prepare(service, request, invocation.memory_mb)
        return _accept(service, request, manifest, inputs, invocation)
    except RunError as error:
        return {"run_id": run_id, "status": "failed", "error": error.to_json()}


def _word_of_run(event: object) -> tuple[str, object, object] | None:
    """(what to do, run id, detail) where an event is about a run that exists already."""
    if not isinstance(event, Mapping):
        return None
    if set(event) == {"resume", "term"}:
        return "resume", event["resume"], event["term"]
    if set(event) == {"cancel"}:
        return "cancel", event["cancel"], None
    if "requestPayload" in event and "requestContext" in event:
        payload = event["requestPayload"] if isinstance(event["requestPayload"], Mapping) else {}
        return "bury", payload.get("resume"), (payload.get("term"), cause_of(event.get("responsePayload")))
    return None


def _act(run: Succession, what: str, _run_id: object, detail: object) -> dict[str, Any]:
    if what == "cancel":
        return run.cancel()
    term, cause = detail if isinstance(detail, tuple) else (detail, "")
    number = term if isinstance(term, int) else 0
    return run.resume(number) if what == "resume" else run.bury(number, cause)


def _prepare(service: Service, request: Request, memory_mb: int) -> tuple[Manifest, dict[str, Array]]:
    try:
        manifest = cached_manifest(service, find_version(service.store, request.model)[1])
    except MissingKeyError as error:
        raise ModelNotFound(f"{error}: `fsd models` lists those that are") from None
    except BundleError as error:
        raise ModelNotFound(f"model {request.model!r} cannot be read: {error}") from error
    check_outputs(request.outputs, manifest.outputs)
    check_budget(request, manifest, memory_mb)
    return manifest, decode_inputs(request, manifest.inputs, fetch_inputs(service, request))


def _accept(
    service: Service, request: Request, manifest: Manifest, inputs: dict[str, Array], invocation: Invocation
) -> dict[str, Any]:
    files = service.files(request.run_id)
    answer_by = invocation.started_at + request.wait_s
    deadline = time.time() + request.deadline_s
    if not files.claim(request, deadline, manifest.bundle_id):
        return _join(Succession(service, files, invocation), request, answer_by)
    tenure = Tenure(request_id=invocation.request_id)
    job = Job(service, files, request, manifest, deadline, invocation, tenure)
    if request.wait_s == 0:
        return job.hand_over()
    return job.run(lambda: inputs, answer_by)


def _join(run: Succession, request: Request, answer_by: float) -> dict[str, Any]:
    claimed = run.files.read_claim().request
    if _work(claimed) != _work(request):
        raise BadRequest(f"run_id {request.run_id}: it is the id of another request, of model {claimed.model!r}")
    return run.join(answer_by)


def _work(request: Request) -> Request:
    """A request without what does not change its answer's outputs."""
    return Request(
        request.model,
        request.inputs,
        request.inputs_npz,
        request.inputs_uri,
        request.outputs,
        encoding=request.encoding,
    )
