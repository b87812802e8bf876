"""How long a request takes, cold and warm, as the caller sees it, beside onnxruntime in this process.

The named peer is onnxruntime; the ratio of the warm P = 1 request to it is what serving through functions costs.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort

from client.api import Client
from client.errors import UsageError
from client.progress import busy
from client.tables import align
from zoo.registry import get_card

MODEL = "digits-mlp"
EXAMPLES = 20


def run_latency(client: Client, workers: Sequence[int], strategy: str, channel: str, requests: int) -> dict[str, Any]:
    """Register the model for each P, send `requests` equal requests in a row, remove it.

    Raises:
        UsageError: fewer than two requests: the first one is the cold one.
    """
    if requests < 2:
        raise UsageError(f"--requests: expected at least 2, one cold and one warm, got {requests}")
    card = get_card(MODEL)
    inputs = dict(card.examples(card.parse({}), EXAMPLES).inputs)
    rows = [_row(client, inputs, size, strategy if size > 1 else "serial", channel, requests) for size in workers]
    return {"model": MODEL, "examples": EXAMPLES, "onnxruntime_s": _in_process(inputs), "rows": rows}


def latency_lines(result: Mapping[str, Any]) -> list[str]:
    """The result as a table; seconds, and ratios to onnxruntime in this process."""
    peer = result["onnxruntime_s"]
    head = ("P", "cold s", "warm s (median)", "warm / onnxruntime", "inside infer, warm", "ranks that loaded, warm")
    rows = [
        (
            str(row["workers"]),
            f"{row['cold_s']:.3f}",
            f"{row['warm_s']:.3f}",
            f"{row['warm_s'] / peer:.0f}",
            f"{row['inside_s']:.4f}",
            "+".join(map(str, row["warm_loads"])),
        )
        for row in result["rows"]
    ]
    title = f"{result['model']}, {result['examples']} examples; onnxruntime in-process: {peer * 1e6:.0f} microseconds"
    return [title, *align([head, *rows])]


def _row(
    client: Client, inputs: Mapping[str, Any], size: int, strategy: str, channel: str, requests: int
) -> dict[str, Any]:
    name = f"bench-latency-{strategy}-{size}"
    client.register(MODEL, name=name, strategy=strategy, workers=size)
    with busy(f"{requests} requests, P = {size}"):
        timed = [_timed(lambda: client.infer(name, inputs, channel=channel)) for _ in range(requests)]
    client.remove(name)
    warm = timed[1:]
    return {
        "workers": size,
        "strategy": strategy,
        "cold_s": timed[0][0],
        "warm_s": statistics.median(seconds for seconds, _ in warm),
        "inside_s": statistics.median(answer.figures["seconds"] for _, answer in warm),
        "warm_loads": [sum(rank["shard_loads"] > 0 for rank in answer.figures["ranks"]) for _, answer in warm],
    }


def _in_process(inputs: Mapping[str, Any], repeats: int = 200) -> float:
    card = get_card(MODEL)
    with tempfile.TemporaryDirectory(prefix="fsd-") as folder:
        session = ort.InferenceSession(card.build(card.parse({}), Path(folder)))
    return statistics.median(_timed(lambda: session.run(None, dict(inputs)))[0] for _ in range(repeats))


def _timed(action: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = action()
    return time.perf_counter() - started, result
