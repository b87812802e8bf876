"""A bench result as lines for a terminal: ours, cold and warm, beside the authors' row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.graphchallenge import THEIR_CALLS
from client.tables import align


def case_lines(result: Mapping[str, Any]) -> list[str]:
    """Verdict, table, live samples."""
    case = result["case"]
    head = "N={neurons} layers={layers} samples={samples} {strategy} P={workers} {channel}".format_map(case)
    layers = " ".join(str(count) for count in result["live_samples"][:16])
    return [
        f"{head}: {result['verdict']}",
        *align(_rows(result)),
        f"live samples after each layer (most on one rank): {layers} ...",
        "theirs: AWS, published; bytes as each counts them; USD by each one's own counting (theirs leaves out deletes)",
    ]


def _rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    cold, warm, theirs = result["cold"], result["warm"], result["published"] or {}
    rows: list[tuple[str, ...]] = [("", "cold", "warm", "theirs")]
    for name in sorted({*cold["calls"], *warm["calls"]}):
        counts = (str(figures["calls"].get(name, {}).get("requests", 0)) for figures in (cold, warm))
        rows.append((name, *counts, theirs.get(THEIR_CALLS.get(name, ""), "") or "-"))
    rows.append(("bytes sent", "", f"{result['bytes_sent']:,}", _grouped(theirs.get("bytes_sent", ""))))
    rows.append(
        ("seconds", f"{cold['seconds']:.2f}", f"{warm['seconds']:.2f}", theirs.get("batch_s_per_worker", "") or "-")
    )
    rows.append(
        ("USD", f"{cold['usd']['total']:.6f}", f"{warm['usd']['total']:.6f}", theirs.get("total_usd", "") or "-")
    )
    return rows


def _grouped(number: str) -> str:
    return f"{int(number):,}" if number else "-"
