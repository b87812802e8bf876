"""A run's answer: predictions, where the time went, and what it cost so far."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from bundle.manifest import Manifest
from costs import CallCount, LambdaUsage, calls_to_json, make_bill, merge
from runs.coordinator import Outcome
from runs.progress import Progress, summary
from runs.record import RunFiles
from runs.report import RankReport
from runs.request import Request
from runs.values import Array, dump_npz, to_json

# Lambda answers a synchronous call with at most 6 MB; the figures need some of it.
INLINE_BYTES = 4_500_000
# Nested lists take up to 20 characters an element.
INLINE_ELEMENTS = INLINE_BYTES // 20


def wanted(outcome: Outcome, request: Request) -> dict[str, Array]:
    """The outputs that the request names; all of them when it names none."""
    return {name: array for name, array in outcome.outputs.items() if not request.outputs or name in request.outputs}


def predictions(outputs: dict[str, Array], request: Request, files: RunFiles) -> dict[str, Any]:
    """Outputs inline while they are small, else the address of an .npz that holds them."""
    if request.encoding == "json" and sum(array.size for array in outputs.values()) <= INLINE_ELEMENTS:
        return {"outputs": {name: to_json(array) for name, array in outputs.items()}}
    data = dump_npz(outputs)
    if request.encoding == "npz" and len(data) * 4 // 3 <= INLINE_BYTES:
        return {"outputs_npz": base64.b64encode(data).decode()}
    files.objects.put(files.key("output.npz"), data)
    return {"outputs_uri": files.uri("output.npz")}


def figures(manifest: Manifest, progress: Progress, reports: Sequence[RankReport]) -> dict[str, Any]:
    """Where the time went, and how much of it on which rank."""
    return {
        "strategy": manifest.strategy,
        "workers": manifest.world_size,
        "channel": progress.channel or "none",
        "phases": summary(progress),
        "ranks": [report.summary() for report in reports],
    }


def bill(calls: Mapping[str, CallCount], usage: Sequence[LambdaUsage]) -> dict[str, Any]:
    """`calls` and `usd` of an answer."""
    usd = make_bill(calls, usage).usd
    return {"calls": calls_to_json(calls), "usd": {name: round(amount, 12) for name, amount in usd.items()}}


def usage_of(function: str, pairs: Sequence[tuple[int, float]]) -> list[LambdaUsage]:
    """Invocations as (memory_mb, seconds) pairs, as the bill takes them."""
    return [LambdaUsage(function, memory_mb, seconds * 1000) for memory_mb, seconds in pairs]


def reported_calls(reports: Sequence[RankReport]) -> dict[str, CallCount]:
    """Calls of all ranks, up to each one's report."""
    return merge(*(report.calls for report in reports))
