"""The `infer` function: an event in, an answer out. The request's fields are those of `runs.request.Request`."""

from __future__ import annotations

from typing import Any

from costs import usage_line
from handlers.environment import LambdaContext, begin, service
from runs.serve import serve


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer a request, or go on with a run that was handed over."""
    invocation = begin(context)
    answer = serve(service(), event, invocation)
    calls = service().calls_of(invocation)
    print(usage_line(str(answer["run_id"]), 1, 0, invocation.request_id, calls))
    return answer
