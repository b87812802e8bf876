"""Where the wall time of each rank goes, what a run takes of the CPU, and how far it is from bare SDK calls.

On the embedded cloud of this machine. The peers: in the same run, as many SDK calls with nothing in them from as many
processes; and the CPU seconds that the released workers of the FSD-Inference paper took on a 2-core machine, against
the same emulator (N = 1024, P = 8, 10,000 samples).
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from bench.bare_calls import bare_seconds
from bench.graphchallenge import BenchCase
from bench.processes import group_cpu_s
from client.api import Answer, Client
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
_CODEC, _COMPUTING = ("encoding", "decoding"), ("computing",)


def run_breakdown(client: Client, case: BenchCase, channels: Sequence[str], repeats: int = 3) -> list[dict[str, Any]]:
    """Register; by channel, run once cold, then `repeats` times warm, each followed by the same calls bare; remove.

    Raises:
        ClientError, ZooError, CompileError: one line.
    """
    card = get_card(f"graphchallenge-{case.neurons}")
    given: dict[str, object] = {"layers": case.layers, **({"data": str(case.data)} if case.data else {})}
    options = card.parse(given)
    examples = card.examples(options, case.samples)
    with busy(f"compiling for {case.workers} workers"):
        client.register(card.name, name=case.model, strategy=case.strategy, workers=case.workers, options=given)
    try:
        results = []
        for channel in channels:
            run = partial(client.infer, case.model, examples.inputs, channel=channel)
            with busy(f"{repeats} warm runs over {channel}, each beside bare calls"):
                verdict = card.check(run().outputs, examples)
                runs = [_paired(run, case.workers) for _ in range(repeats)]
            results.append(_result(channel, case, runs) | {"right": verdict.right, "compared": verdict.total})
        return results
    finally:
        client.remove(case.model)


def _result(channel: str, case: BenchCase, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The run of median wall time in full, medians of all for what is compared."""
    chosen = sorted(runs, key=lambda run: run["figures"]["seconds"])[len(runs) // 2]
    return {
        "channel": channel,
        "workers": case.workers,
        "ranks": [_parts(rank) for rank in chosen["figures"]["ranks"]],
        "calls": _counts(chosen["figures"]),
        "seconds": [run["figures"]["seconds"] for run in runs],
        "bare_s": [run["bare_s"] for run in runs],
        "ratio_to_bare": statistics.median(run["figures"]["seconds"] / run["bare_s"] for run in runs),
        "cpu_s": statistics.median(run["cpu_s"] for run in runs),
        "load": statistics.median(run["load"] for run in runs),
        "authors_cpu_s": AUTHORS_CPU_S[channel],
    }


def _counts(figures: Mapping[str, Any]) -> dict[str, int]:
    return {name: count["requests"] for name, count in figures["calls"].items()}


def _paired(run: Callable[[], Answer], workers: int) -> dict[str, Any]:
    cloud = EmbeddedCloud().require()
    load, before = os.getloadavg()[0], group_cpu_s(cloud.pid)
    figures = run().figures
    cpu_s = group_cpu_s(cloud.pid) - before
    bare_s = bare_seconds(client_environment(cloud), _counts(figures), workers)
    return {"figures": figures, "cpu_s": cpu_s, "bare_s": bare_s, "load": load}


def _parts(rank: Mapping[str, Any]) -> dict[str, float]:
    """Seconds of a rank by what they were spent on; together its wall time."""
    parts = {name: float(rank[field]) for name, field in PARTS.items()}
    return {"rank": rank["rank"], **parts, "other": rank["seconds"] - sum(parts.values()), "all": rank["seconds"]}


def breakdown_lines(result: Mapping[str, Any]) -> list[str]:
    """A row per rank, in seconds; then the CPU seconds and the ratios."""
    return [*align(_rows(result)), *_sentences(result)]


def breakdown_markdown(results: Sequence[Mapping[str, Any]]) -> str:
    """The page: for each channel the table of ranks, and what it is compared with."""
    parts = [_section(result) for result in results]
    return "# Where the time of a run goes\n\nWritten by `fsd bench breakdown --results bench/results`.\n" + "".join(
        parts
    )


def _section(result: Mapping[str, Any]) -> str:
    head, *rows = _rows(result)
    table = [head, tuple("---:" for _ in head), *rows]
    lines = ["", f"## {result['channel']}, P = {result['workers']}", ""]
    lines += [f"| {' | '.join(row)} |" for row in table]
    lines += ["", *(f"- {sentence}" for sentence in _sentences(result)), ""]
    return "\n".join(lines)


def _rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    head = tuple(result["ranks"][0])
    return [head, *((str(row["rank"]), *(f"{row[name]:.2f}" for name in head[1:])) for row in result["ranks"])]


def _sentences(result: Mapping[str, Any]) -> list[str]:
    share = result["authors_cpu_s"] / result["cpu_s"]
    codec, computing = (sum(row[name] for row in result["ranks"] for name in names) for names in (_CODEC, _COMPUTING))
    calls = ", ".join(f"{count} {name}" for name, count in sorted(result["calls"].items()))
    return [
        f"{result['right']} of {result['compared']} samples right; seconds of one warm run, the one of median length",
        f"CPU, functions and emulator: {result['cpu_s']:.1f} s; the authors' workers: {result['authors_cpu_s']} s, "
        f"{share:.1f} times as much",
        f"wall, by run: {_seconds(result['seconds'])}; as many bare SDK calls from as many processes: "
        f"{_seconds(result['bare_s'])}; ratio {result['ratio_to_bare']:.2f} in the median",
        f"encoding and decoding: {codec / computing:.2f} of computing, over all ranks",
        f"runs in the machine's queue before these began: {result['load']:.1f}",
        f"calls: {calls}",
    ]


def _seconds(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in values) + " s"
