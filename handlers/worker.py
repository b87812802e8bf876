"""The `worker` function: one rank of a run, started by `infer`."""

from __future__ import annotations

from typing import Any

from costs import usage_line
from handlers.environment import LambdaContext, begin, service
from runs.follower import follow
from runs.log import write_line
from runs.start import StartMessage


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take part in a run until its end."""
    invocation = begin(context, "worker")
    start = StartMessage.from_json(event)
    try:
        return follow(service(), start, invocation)
    finally:
        calls = service().calls_of(invocation)
        steps = service().take_step_calls()
        write_line(usage_line(start.run_id, start.attempt, start.slot, invocation.request_id, calls, steps))
