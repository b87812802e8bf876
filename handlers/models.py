"""The `models` function: what is registered."""

from __future__ import annotations

from typing import Any

from handlers.environment import LambdaContext, service
from runs.catalog import list_models


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """`{"models": [...]}`: name, version, signature, strategy, workers and shard sizes of each."""
    del event, context
    return {"models": list_models(service().store)}
