"""How long a model of many ops takes to compile: `python -m bench.compiling chain --ops 20000 --strategy row`.

Prints processor seconds of its three parts, reading and normalising, choosing, and writing the bundle, and the most
memory that the process has had.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from bench.large_graphs import DEEP, GRAPHS
from partition import Options
from partition.compile import Target, emit_bundle, lay_out, prepare
from partition.grid import parse_strategy


def measure(graph: str, ops: int, strategy: str, workers: int, folder: Path) -> tuple[str, ...]:
    """Ops, the strategy chosen, processor seconds of each part and of all, MB at most; `auto` has 1.10 even shares."""
    path = (DEEP | GRAPHS)[graph](ops, folder)
    options = Options(weight_share=1.1 if strategy == "auto" and graph != "chain" else None)  # it has one weight
    times = [time.process_time()]
    prepared = prepare(path, options)
    times.append(time.process_time())
    chosen, layout = lay_out(prepared, parse_strategy(strategy, workers), workers, options)
    times.append(time.process_time())
    (folder / "shards").mkdir()
    emit_bundle(prepared, layout, Target(graph, chosen, workers), folder / "shards")
    times.append(time.process_time())
    parts = [f"{after - before:.1f}" for before, after in pairwise(times)]
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return (f"{len(prepared.graph.ops):,}", chosen, *parts, f"{times[-1] - times[0]:.1f}", str(peak_mb))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a row."""
    parser = argparse.ArgumentParser(prog="python -m bench.compiling", description=__doc__)
    parser.add_argument("graph", choices=[*DEEP, *GRAPHS])
    parser.add_argument("--ops", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--strategy", default="row")
    options = parser.parse_args(arguments)
    print("| graph | ops | P | strategy | chosen | prepared s | chosen s | written s | all s | peak MB |")
    print("|---|---:|---:|---|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory(prefix="fsd-") as folder:
        ops, chosen, *found = measure(options.graph, options.ops, options.strategy, options.workers, Path(folder))
    print(f"| {' | '.join([options.graph, ops, str(options.workers), options.strategy, chosen, *found])} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
