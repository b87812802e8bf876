"""`fsd bench`: measured runs beside published ones, and beside onnxruntime in one process."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from runs.request import CHANNELS


def add_commands(commands: Any) -> None:
    """Add `bench graphchallenge`, `bench matrix`, `bench breakdown`, `bench latency` and `bench paper`."""
    bench = commands.add_parser("bench", help="measure, beside published figures")
    kinds = bench.add_subparsers(dest="kind", required=True, metavar="WHAT")
    case = kinds.add_parser("graphchallenge", help="the Graph Challenge network on the deployed service")
    case.add_argument("--neurons", type=int, default=1024)
    case.add_argument("--layers", type=int, default=120)
    case.add_argument("--samples", type=int, default=10_000)
    case.add_argument("--workers", type=int, default=8, metavar="P")
    case.add_argument("--channel", default="queue", choices=CHANNELS)
    case.add_argument("--strategy", default="row")
    case.add_argument("--data", type=Path, metavar="DIR", help="the official files; generated ones otherwise")
    case.add_argument(
        "--published", type=Path, metavar="CSV", help="the authors' measured results to print beside ours"
    )
    case.add_argument("--json", action="store_true", help="print JSON")
    case.set_defaults(run=_graphchallenge)
    matrix = kinds.add_parser("matrix", help="the Graph Challenge for all strategies, channels and numbers of workers")
    matrix.add_argument("--neurons", type=int, default=1024)
    matrix.add_argument("--data", type=Path, metavar="DIR", help="the official files; generated ones otherwise")
    matrix.set_defaults(run=_matrix)
    breakdown = kinds.add_parser("breakdown", help="where each rank's time goes, beside bare SDK calls")
    breakdown.add_argument("--neurons", type=int, default=1024)
    breakdown.add_argument("--workers", type=int, default=8, metavar="P")
    breakdown.add_argument("--channel", nargs="+", default=["queue", "object"], choices=("queue", "object"))
    breakdown.add_argument("--strategy", default="row")
    breakdown.add_argument("--repeats", type=int, default=3, help="warm runs of each channel")
    breakdown.add_argument("--results", type=Path, metavar="DIR", help="also write breakdown.md there")
    breakdown.add_argument("--data", type=Path, metavar="DIR", help="the official files; generated ones otherwise")
    breakdown.add_argument("--json", action="store_true", help="print JSON")
    breakdown.set_defaults(run=_breakdown)
    latency = kinds.add_parser("latency", help="cold and warm requests of a small model, beside onnxruntime in-process")
    latency.add_argument("--workers", type=int, nargs="+", default=[1, 8], metavar="P")
    latency.add_argument("--channel", default="queue", choices=CHANNELS)
    latency.add_argument("--strategy", default="row", help="for P > 1")
    latency.add_argument("--requests", type=int, default=5, metavar="N", help="requests in a row for each P")
    latency.add_argument("--json", action="store_true", help="print JSON")
    latency.set_defaults(run=_latency)
    _add_paper(kinds)
    auto = kinds.add_parser(
        "auto", help="the same networks on one worker, as auto divides them, beside the cheapest published run"
    )
    auto.add_argument("--neurons", type=int, nargs="+", default=[1024], metavar="N")
    auto.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="the official files; what it lacks is generated (default: ../shared's, if any)",
    )
    auto.add_argument("--published", type=Path, metavar="CSV", help="the authors' table of results")
    auto.add_argument("--json", action="store_true", help="print JSON")
    auto.set_defaults(run=_auto)


def _auto(options: argparse.Namespace) -> int:
    from bench.auto import auto_line, auto_markdown, measure_alone, read_theirs
    from bench.graphchallenge import SHARED, official_data

    published = options.published or SHARED / "fsd-results" / "fsd-results.csv"
    theirs = [read_theirs(published, size) for size in options.neurons]
    pairs = zip(options.neurons, theirs, strict=True)
    lines = [auto_line(measure_alone(size, options.data or official_data()), other) for size, other in pairs]
    print(json.dumps(lines, indent=1) if options.json else auto_markdown(lines))
    return 0 if all(line["right"].split(" of ")[0] == line["right"].split(" of ")[1] for line in lines) else 1


def _add_paper(kinds: Any) -> None:
    paper = kinds.add_parser(
        "paper", help="all runs that the paper's authors published, beside ours; goes on where it was"
    )
    paper.add_argument("--neurons", type=int, nargs="+", metavar="N", help="these networks only: 1024 4096 16384 65536")
    paper.add_argument("--workers", type=int, nargs="+", metavar="P", help="these numbers of ranks only")
    paper.add_argument("--channel", choices=("queue", "object"), help="this channel only")
    paper.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="the official files; what it lacks is generated (default: ../shared's, if any)",
    )
    paper.add_argument("--published", type=Path, metavar="CSV", help="the authors' table of results")
    paper.add_argument(
        "--kept", type=Path, metavar="DIR", default=Path(".fsd/bench/paper"), help="runs measured so far"
    )
    paper.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        help="write paper.csv, .md and .svg there; rows that were not measured here stay as they are",
    )
    paper.add_argument("--control", action="store_true", help="networks of the same sizes without structure")
    paper.add_argument(
        "--cloud-workers",
        type=int,
        metavar="P",
        help="networks up to N = 4096 with up to P ranks run on the deployed service, the others in this process"
        " (default: as many as fit in memory and in the lanes of a running embedded cloud)",
    )
    paper.add_argument(
        "--no-run", action="store_true", help="only what is kept; rows that were not measured are left out"
    )
    paper.add_argument("--fresh", action="store_true", help="measure again what is kept")
    paper.add_argument("--json", action="store_true", help="print JSON")
    paper.set_defaults(run=_paper)


def _paper(options: argparse.Namespace) -> int:
    from bench.graphchallenge import SHARED, official_data
    from bench.paper import UNFINISHED, Kept, read_published
    from bench.paper_cloud import room
    from bench.paper_report import joined, markdown, read_lines, write_results
    from bench.paper_run import Setting, kept_lines, measure

    published = options.published or SHARED / "fsd-results" / "fsd-results.csv"
    chosen = {"neurons": options.neurons, "workers": options.workers, "channel": options.channel and [options.channel]}
    rows, apart = (
        [row for row in table if all(wanted is None or getattr(row, name) in wanted for name, wanted in chosen.items())]
        for table in (read_published(published), UNFINISHED)
    )
    limit = options.cloud_workers
    there = room() if limit is None else dict.fromkeys(("queue", "object"), limit)
    setting = Setting(Kept(options.kept), options.data or official_data(), there, options.control, options.fresh)
    if not options.no_run:
        measure([*rows, *apart], setting)
    lines = kept_lines(rows, setting)
    if options.results:
        name = "control" if options.control else "paper"
        former = read_lines(options.results / f"{name}.csv")
        write_results(joined([*lines, *kept_lines(apart, setting)], former), options.results, name)
    print(json.dumps(lines, indent=1) if options.json else markdown(lines))
    return 0 if all(len(set(line["right"].split(" of "))) == 1 for line in lines) else 1


def _matrix(options: argparse.Namespace) -> int:
    from bench.matrix import markdown_head, markdown_row, matrix_cases, run_matrix
    from client.api import Client

    print(markdown_head(), flush=True)
    wrong = 0
    for row in run_matrix(Client(), list(matrix_cases(options.neurons, options.data))):
        print(markdown_row(row), flush=True)
        right, compared = row[3].split(" of ")
        wrong += right != compared
    return 1 if wrong else 0


def _breakdown(options: argparse.Namespace) -> int:
    from bench.breakdown import breakdown_lines, breakdown_markdown, run_breakdown
    from bench.graphchallenge import BenchCase
    from client.api import Client

    case = BenchCase(options.neurons, options.workers, options.channel[0], options.strategy, data=options.data)
    results = run_breakdown(Client(), case, options.channel, options.repeats)
    if options.results:
        options.results.mkdir(parents=True, exist_ok=True)
        (options.results / "breakdown.md").write_text(breakdown_markdown(results))
    lines = [line for result in results for line in (f"{result['channel']}:", *breakdown_lines(result))]
    print(json.dumps(results, indent=2) if options.json else "\n".join(lines))
    return 0 if all(result["right"] == result["compared"] for result in results) else 1


def _latency(options: argparse.Namespace) -> int:
    from bench.latency import latency_lines, run_latency
    from client.api import Client

    result = run_latency(Client(), options.workers, options.strategy, options.channel, options.requests)
    print(json.dumps(result, indent=2) if options.json else "\n".join(latency_lines(result)))
    return 0


def _graphchallenge(options: argparse.Namespace) -> int:
    from bench.graphchallenge import BenchCase, run_case
    from bench.report import case_lines
    from client.api import Client

    case = BenchCase(
        neurons=options.neurons,
        layers=options.layers,
        samples=options.samples,
        workers=options.workers,
        channel=options.channel,
        strategy=options.strategy,
        data=options.data,
        published=options.published,
    )
    result = run_case(Client(), case)
    print(json.dumps(result, indent=2) if options.json else "\n".join(case_lines(result)))
    return 0 if result["right"] == result["compared"] else 1
