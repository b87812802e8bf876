"""What the handlers of one function environment share: built at the first event, kept as long as the environment."""

from __future__ import annotations

import os
import time
from functools import cache
from typing import Any, Protocol

from costs.meter import Meter
from engine.cache import ShardCache
from runs.aws import LazyClients
from runs.log import Log
from runs.service import Invocation, Service
from runs.settings import read_settings

# Of a function's memory, what loaded models may take; the rest is for activations and the runtime.
_CACHE_SHARE = 0.5


class LambdaContext(Protocol):
    """The part of Lambda's context object that the handlers read."""

    aws_request_id: str
    memory_limit_in_mb: int | str

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the invocation."""
        ...


@cache
def service() -> Service:
    """This environment's service."""
    meter = Meter()
    memory_mb = int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "3008"))
    cache_bytes = int(memory_mb * _CACHE_SHARE) << 20
    return Service(read_settings(os.environ), LazyClients(meter), meter, ShardCache(cache_bytes))


def begin(context: LambdaContext | Any, function: str) -> Invocation:
    """What this invocation of a function is."""
    here = service()
    here.take_step_calls()
    return Invocation(
        request_id=str(context.aws_request_id),
        memory_mb=int(context.memory_limit_in_mb),
        ends_at=time.monotonic() + context.get_remaining_time_in_millis() / 1000,
        cold=here.take_fresh(),
        calls_before=here.meter.snapshot(),
        log=Log({"function": function, "request_id": str(context.aws_request_id)}),
    )
