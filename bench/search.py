"""How long it takes to choose: `python -m bench.search` lays out an encoder of 3,000 ops under every strategy.

The graph is the zoo's encoder with many narrow layers, so that time goes into placing ops, not into weights.
Prints seconds of processor time and of the clock, bytes that would be sent, and the fullest rank's share.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from partition import Options
from partition.compile import Prepared, lay_out, prepare
from partition.held import layout_bytes
from partition.traffic import traffic
from zoo.registry import get_card

OPS_PER_LAYER = 34  # of the encoder, about
STRATEGIES = ("row", "column", "tensor", "pipeline", "auto")
_SETTINGS = Options(sizes={"batch": 1, "sequence": 32})
_HEAD = ("strategy", "chosen", "processor s", "clock s", "bytes", "share")


def large_encoder(ops: int, folder: Path) -> Path:
    """An encoder of about so many ops, written to `folder`."""
    card = get_card("encoder")
    given = {"layers": max(1, ops // OPS_PER_LAYER), "width": 64, "heads": 4, "vocabulary": 512}
    return card.build(card.parse(given), folder)


def measure(prepared: Prepared, workers: int, strategies: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """A row per strategy."""
    for strategy in strategies:
        limited = Options(weight_share=1.1, sizes=_SETTINGS.sizes) if strategy == "auto" else _SETTINGS
        busy, clock = time.process_time(), time.perf_counter()
        chosen, layout = lay_out(prepared, strategy, workers, limited)
        seconds = (f"{time.process_time() - busy:.1f}", f"{time.perf_counter() - clock:.1f}")
        sent = sum(item.nbytes for item in traffic(layout, {}, {}))
        share = max(layout_bytes(layout)) * workers / prepared.weight_bytes
        yield (strategy, chosen, *seconds, f"{sent:,}", f"{share:.3f}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.search", description=__doc__)
    parser.add_argument("--ops", type=int, default=3000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--strategies", nargs="+", default=STRATEGIES)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="fsd-") as folder:
        began = time.process_time()
        prepared = prepare(large_encoder(options.ops, Path(folder)), _SETTINGS)
        seconds = time.process_time() - began
        print(f"{len(prepared.graph.ops)} ops, built and prepared in {seconds:.1f} s of processor time")
        print(f"| {' | '.join(_HEAD)} |\n|---|---|---:|---:|---:|---:|")
        for row in measure(prepared, options.workers, options.strategies):
            print(f"| {' | '.join(row)} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
