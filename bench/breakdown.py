"""Where the wall time of each rank goes, what a run takes of the CPU, and how far it is from bare SDK calls.

On the embedded cloud of this machine. The peers: in the same run, as many SDK calls with nothing in them from as many
processes; and the CPU seconds that the released workers of the FSD-Inference paper took on a 2-core machine, against
the same emulator (N = 1024, P = 8, 10,000 samples).
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from bench.bare_calls import bare_seconds
from bench.graphchallenge import BenchCase
from bench.processes import group_cpu_s
from client.api import Client
from client.cloud import EmbeddedCloud, client_environment
from client.progress import busy
from client.tables import align
from zoo.registry import get_card

# Workers and emulator, by channel.
AUTHORS_CPU_S = {"queue": 100 + 24, "object": 139 + 15}
PARTS = {
    "computing": "compute_s",
    "encoding": "encode_s",
    "decoding": "decode_s",
    "SDK calls": "call_s",
    "waiting": "wait_s",
    "loading": "load_s",
}


def run_breakdown(client: Client, case: BenchCase, repeats: int = 3) -> dict[str, Any]:
    """Register, run once cold, then `repeats` times warm, each followed by the same calls bare; remove.

    Raises:
        ClientError, ZooError, CompileError: one line.
    """
    card = get_card(f"graphchallenge-{case.neurons}")
    given: dict[str, object] = {"layers": case.layers, **({"data": str(case.data)} if case.data else {})}
    examples = card.examples(card.parse(given), case.samples)
    client.register(card.name, name=case.model, strategy=case.strategy, workers=case.workers, options=given)
    try:
        client.infer(case.model, examples.inputs, channel=case.channel)
        with busy(f"{repeats} warm runs over {case.channel}, each beside bare calls"):
            runs = [_paired(client, case, dict(examples.inputs)) for _ in range(repeats)]
    finally:
        client.remove(case.model)
    last = runs[-1]["figures"]
    return {
        "channel": case.channel,
        "workers": case.workers,
        "ranks": [_parts(rank) for rank in last["ranks"]],
        "calls": {name: count["requests"] for name, count in last["calls"].items()},
        "seconds": [run["figures"]["seconds"] for run in runs],
        "bare_s": [run["bare_s"] for run in runs],
        "ratio_to_bare": statistics.median(run["figures"]["seconds"] / run["bare_s"] for run in runs),
        "cpu_s": statistics.median(run["cpu_s"] for run in runs),
        "authors_cpu_s": AUTHORS_CPU_S[case.channel],
    }


def _paired(client: Client, case: BenchCase, inputs: dict[str, Any]) -> dict[str, Any]:
    cloud = EmbeddedCloud().require()
    before = group_cpu_s(cloud.pid)
    figures = client.infer(case.model, inputs, channel=case.channel).figures
    cpu_s = group_cpu_s(cloud.pid) - before
    calls = {name: count["requests"] for name, count in figures["calls"].items()}
    return {
        "figures": figures,
        "cpu_s": cpu_s,
        "bare_s": bare_seconds(client_environment(cloud), calls, case.workers),
    }


def _parts(rank: Mapping[str, Any]) -> dict[str, float]:
    """Seconds of a rank by what they were spent on; together its wall time."""
    parts = {name: float(rank[field]) for name, field in PARTS.items()}
    return {"rank": rank["rank"], **parts, "other": rank["seconds"] - sum(parts.values()), "all": rank["seconds"]}


def breakdown_lines(result: Mapping[str, Any]) -> list[str]:
    """A row per rank, in seconds; then the CPU seconds and the ratios."""
    head = tuple(result["ranks"][0])
    rows = [(str(row["rank"]), *(f"{row[name]:.2f}" for name in head[1:])) for row in result["ranks"]]
    share = result["authors_cpu_s"] / result["cpu_s"]
    return [
        *align([head, *rows]),
        f"CPU, functions and emulator: {result['cpu_s']:.1f} s; the authors' workers: {result['authors_cpu_s']} s, "
        f"{share:.1f} times as much",
        f"wall: {result['seconds'][-1]:.1f} s; as many bare SDK calls from as many processes: "
        f"{result['bare_s'][-1]:.1f} s; ratio {result['ratio_to_bare']:.2f}",
    ]
