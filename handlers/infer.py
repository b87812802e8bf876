"""The `infer` function: an event in, an answer out. The request's fields are those of `runs.request.Request`."""

from __future__ import annotations

from typing import Any

from costs import usage_line
from handlers.environment import LambdaContext, begin, service
from handlers.web import is_web, web_request, web_response
from runs.checkup import checkup
from runs.errors import BadRequest
from runs.line import is_from_line, relay
from runs.log import write_line
from runs.serve import serve


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer a request, go on with a run that was left, or call those that stood in line."""
    if is_web(event):
        return _web(event, context)
    invocation = begin(context, "infer")
    if event == {"doctor": True}:
        return checkup(service(), invocation)
    if is_from_line(event):
        runs = relay(service(), event)
        answer: dict[str, Any] = {"relayed": runs}
    else:
        answer = serve(service(), event, invocation)
        runs = [str(answer["run_id"])]
    calls, steps = service().calls_of(invocation), service().take_step_calls()
    for run_id in runs:
        write_line(usage_line(run_id, 1, 0, invocation.request_id, calls, steps))
    return answer


def _web(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    try:
        request = web_request(event)
    except BadRequest as error:
        return web_response({"run_id": "", "status": "failed", "error": error.to_json()})
    # Only requests come this way: a run is handed over by the service itself, which invokes the function.
    if not isinstance(request, dict) or not {"model", "cancel"} & set(request):
        request = {"request": "none"}
    return web_response(handler(request, context))
