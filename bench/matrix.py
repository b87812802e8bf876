"""The Graph Challenge network for every strategy, channel and number of workers: one row each, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.graphchallenge import BenchCase, run_case
from client.api import Client

STRATEGIES = ("row", "column", "batch")
CHANNELS = ("queue", "object")
WORKERS = (1, 2, 3, 8)
# Beyond the full table: the widest run that the default stack's lanes carry.
EXTRA = (("row", "queue", 16),)
HEAD = ("strategy", "channel", "P", "right", "cold s", "warm s", "bytes sent", "requests", "USD (warm)")


def matrix_cases(neurons: int, data: Path | None) -> Iterator[BenchCase]:
    """Every case of the table."""
    full = ((strategy, channel, size) for channel in CHANNELS for strategy in STRATEGIES for size in WORKERS)
    for strategy, channel, size in (*full, *EXTRA):
        yield BenchCase(neurons=neurons, workers=size, channel=channel, strategy=strategy, data=data)


def run_matrix(client: Client, cases: Sequence[BenchCase]) -> Iterator[tuple[str, ...]]:
    """One row of the table per case, as it is done."""
    for case in cases:
        yield matrix_row(run_case(client, case))


def matrix_row(result: Mapping[str, Any]) -> tuple[str, ...]:
    """The table's row of one result."""
    case, cold, warm = result["case"], result["cold"], result["warm"]
    return (
        case["strategy"],
        case["channel"],
        str(case["workers"]),
        f"{result['right']} of {result['compared']}",
        f"{cold['seconds']:.1f}",
        f"{warm['seconds']:.1f}",
        f"{result['bytes_sent']:,}",
        f"{sum(count['requests'] for count in warm['calls'].values()):,}",
        f"{warm['usd']['total']:.6f}",
    )


def markdown_row(cells: Sequence[str]) -> str:
    """One line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def markdown_head() -> str:
    """The first two lines of the table: strategy and channel to the left, numbers to the right."""
    return "\n".join((markdown_row(HEAD), markdown_row(["---"] * 2 + ["---:"] * (len(HEAD) - 2))))
