"""How long it takes to choose: `python -m bench.search` lays out graphs of 3,000 ops under every strategy.

The graphs (bench.large_graphs) have narrow layers, so that time goes into placing ops, not into weights. Prints seconds
of processor time and of the clock, bytes that would be sent, and the fullest rank's share; `auto` is given 1.10 shares.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.large_graphs import GRAPHS
from partition import Options, UnsupportedModelError
from partition.compile import Prepared, lay_out, prepare
from partition.grid import parse_grid, parse_strategy
from partition.held import layout_bytes
from partition.traffic import traffic

STRATEGIES = ("row", "column", "tensor", "pipeline", "auto")
_SIZES = {"encoder": {"batch": 1, "sequence": 32}, "resnet": {"n": 1}, "densenet": {"n": 1}, "rnn": {"n": 1}}
_HEAD = ("graph", "ops", "P", "strategy", "chosen", "processor s", "clock s", "bytes", "share")


def measure(prepared: Prepared, workers: int, strategies: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """A row per strategy."""
    for strategy in strategies:
        options = Options(weight_share=1.1 if strategy == "auto" else None)
        busy, clock = time.process_time(), time.perf_counter()
        try:
            chosen, layout = lay_out(prepared, parse_strategy(strategy, workers), workers, options)
        except UnsupportedModelError as error:
            yield (str(workers), strategy, f"none: {str(error)[-60:]}", f"{time.process_time() - busy:.1f}", "", "", "")
            continue
        seconds = (f"{time.process_time() - busy:.1f}", f"{time.perf_counter() - clock:.1f}")
        sent = sum(item.nbytes for item in traffic(layout, {}, {}))
        share = max(layout_bytes(layout)) * workers / prepared.weight_bytes
        yield (str(workers), strategy, chosen, *seconds, f"{sent:,}", f"{share:.3f}")


def rows(graph: str, ops: int, workers: Sequence[int], strategies: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """All rows of a graph; a grid only for the workers that it has."""
    with tempfile.TemporaryDirectory(prefix="fsd-") as folder:
        busy = time.process_time()
        path = GRAPHS[graph](ops, Path(folder))
        prepared = prepare(path, Options(sizes=_SIZES[graph]))
        seconds = time.process_time() - busy
        count = f"{len(prepared.graph.ops):,}"
        yield (graph, count, "", "prepared", "", f"{seconds:.1f}", "", "", "")
        for number in workers:
            grids = {one: parse_grid(one) for one in strategies}
            fitting = [one for one, grid in grids.items() if grid is None or grid.workers == number]
            yield from ((graph, count, *row) for row in measure(prepared, number, fitting))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.search", description=__doc__)
    parser.add_argument("--ops", type=int, default=3000)
    parser.add_argument("--workers", type=int, nargs="+", default=[4])
    parser.add_argument("--graphs", nargs="+", default=list(GRAPHS), choices=list(GRAPHS))
    parser.add_argument("--strategies", nargs="+", default=STRATEGIES)
    options = parser.parse_args(arguments)
    print(f"| {' | '.join(_HEAD)} |\n|---|---:|---:|---|---|---:|---:|---:|---:|")
    for graph in options.graphs:
        for row in rows(graph, options.ops, options.workers, options.strategies):
            print(f"| {' | '.join(row)} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
