"""Figures of a run as lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def answer_lines(figures: Mapping[str, Any]) -> list[str]:
    """Status, phases, ranks, calls and price of a run's answer."""
    lines = [f"run {figures['run_id']}: {figures['status']}"]
    if figures["status"] != "done":
        return [*lines, f"fetch it with: fsd result {figures['run_id']}"]
    phases = "  ".join(f"{name} {seconds:.3f}" for name, seconds in figures["phases"].items())
    lines.append(f"seconds: {figures['seconds']:.3f}  ({phases})")
    lines += align(_rank_rows(figures["ranks"]))
    lines += call_lines(figures["calls"])
    return [*lines, usd_line(figures["usd"])]


def bill_lines(bill: Mapping[str, Any]) -> list[str]:
    """The final bill of a run."""
    state = "final" if bill["final"] else "not final: some REPORT lines have not arrived"
    if bill["unlogged"]:
        state += f"; the last line of {len(bill['unlogged'])} is not in the logs, their calls are those of the answer"
    head = f"run {bill['run_id']}: {bill['invocations']} invocations, {bill['lambda_gb_seconds']:.3f} GB-s, {state}"
    return [head, *call_lines(bill["calls"]), usd_line(bill["usd"])]


def call_lines(calls: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Requests, billed units and bytes by operation."""
    head = ("call", "requests", "units", "bytes")
    return align([head, *((name, *map(_number, count.values())) for name, count in calls.items())])


def usd_line(usd: Mapping[str, float]) -> str:
    """US dollars by service."""
    return "USD: " + "  ".join(f"{name} {amount:.8f}" for name, amount in usd.items())


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of equal width: the first to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _rank_rows(ranks: Sequence[Mapping[str, Any]]) -> list[Sequence[str]]:
    head = ("rank", "seconds", "load", "compute", "exchange", "wait", "peak MB", "weights", "loads", "start")
    rows = [
        (
            str(rank["rank"]),
            *(f"{rank[name]:.3f}" for name in ("seconds", "load_s", "compute_s", "exchange_s", "wait_s")),
            f"{rank['peak_bytes'] / 2**20:.0f}",
            _number(rank["weight_bytes"]),
            str(rank["shard_loads"]),
            "cold" if rank["cold"] else "warm",
        )
        for rank in ranks
    ]
    return [head, *rows]


def _number(value: int) -> str:
    return f"{value:,}"
