"""`fsd chaos`: runs among faults, on an embedded cloud of its own."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from client.errors import ClientError
from client.progress import busy

if TYPE_CHECKING:
    from chaos.harness import Result, RunEnd, Series

# After so many runs a line on stderr says how far the series is.
EVERY = 50
_ENDING = (signal.SIGINT, signal.SIGTERM)
# Runs wait more than they compute: for what died to count as dead, and for processes to start.
LANES = 8


def add_commands(commands: Any) -> None:
    """Add `chaos`."""
    chaos = commands.add_parser("chaos", help="inject faults into runs on a cloud of its own, and judge every answer")
    chaos.add_argument("--runs", type=int, default=100, metavar="N")
    chaos.add_argument("--first", type=int, default=0, metavar="N", help="number of the first run: a series in parts")
    chaos.add_argument("--seed", type=int, default=0, metavar="S", help="of the faults: the same seed, the same plan")
    chaos.add_argument("--workers", type=int, nargs="+", default=(2, 3, 4), metavar="P", choices=range(2, 17))
    chaos.add_argument("--lanes", type=int, default=LANES, metavar="L", help="so many runs at once")
    chaos.add_argument(
        "--without",
        default="",
        choices=("deadlines", "deduplication"),
        help="self-test: leave a safeguard out, and see that the harness notices",
    )
    chaos.add_argument("--json", action="store_true", help="print JSON")
    chaos.set_defaults(run=_chaos)


def _chaos(options: argparse.Namespace) -> int:
    from chaos.errors import ChaosError
    from chaos.report import good, lines, summary

    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="fsd-chaos-") as folder, busy("chaos"), _interruptible():
            series, result = _run(options, Path(folder))
    except ChaosError as error:
        raise ClientError(f"chaos: {error}") from error
    figures = summary(series, result, time.monotonic() - started)
    print(json.dumps(figures, indent=2) if options.json else "\n".join(lines(figures)))
    return 0 if good(figures) else 1


def _run(options: argparse.Namespace, folder: Path) -> tuple[Series, Result]:
    from chaos.cases import register_cases
    from chaos.harness import Series, measure_scale, run_series
    from chaos.stage import own_stage
    from client.api import Client

    with own_stage(folder, lanes=options.lanes, ranks=max(options.workers), defect=options.without) as stage:
        cases = register_cases(Client(stage.stage), workers=options.workers)
        scale = 1.0 if options.without else measure_scale(stage, cases)
        series = Series(options.runs, options.seed, options.without, scale, options.first)
        print(f"limits times {scale:.2f}", file=sys.stderr, flush=True)
        return series, run_series(stage, cases, series, told=_teller())


def _teller() -> Callable[[RunEnd], None]:
    """Says on stderr which runs did not end well, and now and then how far the series is."""
    ended: Counter[str] = Counter()
    started = time.monotonic()

    def tell(end: RunEnd) -> None:
        ended[end.end] += 1
        if end.end != "right":
            print(f"run {end.number} {end.end}: {end.case} {end.channel}: {end.detail}", file=sys.stderr, flush=True)
        if ended.total() % EVERY == 0:
            seconds = time.monotonic() - started
            print(f"{ended.total()} runs in {seconds:.0f} s: {dict(ended)}", file=sys.stderr, flush=True)

    return tell


@contextmanager
def _interruptible() -> Iterator[None]:
    """The first SIGINT or SIGTERM in a block raises Interrupted: the cloud is stopped, and figures are printed."""

    def interrupt(number: int, _frame: object) -> None:
        from chaos.errors import Interrupted

        for ending in _ENDING:
            signal.signal(ending, signal.SIG_IGN)
        raise Interrupted(f"by signal {number}")

    before = {number: signal.signal(number, interrupt) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
