"""`fsd chaos`: runs among faults, on an embedded cloud of its own."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from client.progress import busy


def add_commands(commands: Any) -> None:
    """Add `chaos`."""
    chaos = commands.add_parser("chaos", help="inject faults into runs on a cloud of its own, and judge every answer")
    chaos.add_argument("--runs", type=int, default=100, metavar="N")
    chaos.add_argument("--seed", type=int, default=0, metavar="S", help="of the faults: the same seed, the same plan")
    chaos.add_argument("--workers", type=int, nargs="+", default=(2, 3, 4), metavar="P", choices=range(2, 17))
    chaos.add_argument("--lanes", type=int, default=4, metavar="L", help="so many runs at once")
    chaos.add_argument(
        "--without",
        default="",
        choices=("deadlines", "deduplication"),
        help="self-test: leave a safeguard out, and see that the harness notices",
    )
    chaos.add_argument("--json", action="store_true", help="print JSON")
    chaos.set_defaults(run=_chaos)


def _chaos(options: argparse.Namespace) -> int:
    from chaos.cases import register_cases
    from chaos.harness import RunEnd, Series, measure_scale, run_series
    from chaos.report import good, lines, summary
    from chaos.stage import own_stage
    from client.api import Client

    def told(end: RunEnd) -> None:
        if end.end != "right":
            print(f"run {end.number} {end.end}: {end.detail}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="fsd-chaos-") as folder, busy("chaos"):
        where = {"lanes": options.lanes, "ranks": max(options.workers)}
        with own_stage(Path(folder), defect=options.without, **where) as stage:
            cases = register_cases(Client(stage.stage), workers=options.workers)
            started = time.monotonic()
            scale = 1.0 if options.without else measure_scale(stage, cases)
            series = Series(options.runs, options.seed, options.without, scale)
            result = run_series(stage, cases, series, told=told)
    figures = summary(series, result, time.monotonic() - started)
    print(json.dumps(figures, indent=2) if options.json else "\n".join(lines(figures)))
    return 0 if good(figures) else 1
