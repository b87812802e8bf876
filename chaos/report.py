"""What a series says: counted, as JSON and as lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from chaos.faults import KINDS
from chaos.harness import Result, RunEnd, Series

# A report names so many runs of each kind that went wrong.
NAMED = 20


def summary(series: Series, result: Result, seconds: float) -> dict[str, Any]:
    """The figures of a series.

    Keys: `runs`; `hit`, runs that met a fault; `faults`, injected by kind; `right`, `typed_errors`, `wrong`, `hangs`,
    how they ended; `leaks`, things left behind; `lost`, runs with at most two killing faults and no right answer;
    `complete`, whether the series came to its end: `leaks` means nothing before.
    """
    ends = Counter(end.end for end in result.ends)
    injected = Counter(kind for _, kind in result.injected)
    lost = [end for end in result.ends if end.bearable and end.end != "right"]
    return {
        "runs": len(result.ends),
        "complete": not result.interrupted,
        "seed": series.seed,
        "first": series.first,
        "hit": len({run_id for run_id, _ in result.injected}),
        "faults": {kind: injected[kind] for kind in KINDS},
        "right": ends["right"],
        "typed_errors": ends["typed_error"],
        "wrong": ends["wrong"],
        "hangs": ends["hang"],
        "leaks": len(result.leaks),
        "lost": len(lost),
        "attempts": {str(n): count for n, count in sorted(Counter(end.attempts for end in result.ends).items())},
        "cases": _counted(end.case for end in result.ends),
        "channels": _counted(end.channel for end in result.ends),
        "scale": round(series.scale, 2),
        "seconds": round(seconds, 1),
        "left_behind": list(result.leaks[:NAMED]),
        "not_right": [
            {"number": end.number, "run_id": end.run_id, "end": end.end, "detail": _what(end), "faults": _names(end)}
            for end in sorted(result.ends, key=lambda end: end.number)
            if end.end != "right"
        ][:NAMED],
    }


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _what(end: RunEnd) -> str:
    return f"{end.case} {end.channel}: {end.detail}"


def _names(end: RunEnd) -> list[str]:
    return [f"{fault.kind} attempt {fault.attempt} slot {fault.slot} at {fault.at}" for fault in end.planned]


def good(figures: dict[str, Any]) -> bool:
    """Whether the service kept its promises, to the end of the series."""
    return figures["complete"] and not any(figures[name] for name in ("wrong", "hangs", "leaks", "lost"))


def lines(figures: dict[str, Any]) -> list[str]:
    """The figures for a reader."""
    ends = ", ".join(
        f"{figures[name]} {name.replace('_', ' ')}" for name in ("right", "typed_errors", "wrong", "hangs")
    )
    faults = ", ".join(f"{kind} {count}" for kind, count in figures["faults"].items())
    return [
        *([] if figures["complete"] else ["interrupted: what follows is of the runs that had ended"]),
        f"{figures['runs']} runs in {figures['seconds']} s, {figures['hit']} of them met a fault: {ends}",
        f"left behind: {figures['leaks']}; at most two killing faults and no right answer: {figures['lost']}",
        f"faults: {faults}",
        *figures["left_behind"],
        *(f"run {entry['number']} {entry['end']}: {entry['detail']}" for entry in figures["not_right"]),
    ]
