"""How a breakdown is added up and written; running it takes a deployed cloud."""

from __future__ import annotations

from typing import Any

import pytest

from bench.breakdown import _parts, _result, breakdown_lines, breakdown_markdown
from bench.graphchallenge import BenchCase


def rank(number: int, seconds: float) -> dict[str, float]:
    """Figures of a rank that spent 0.1 s on each part."""
    names = ("compute_s", "encode_s", "decode_s", "call_s", "wait_s", "load_s")
    return {"rank": number, "seconds": seconds, **dict.fromkeys(names, 0.1)}


def run(seconds: float, bare_s: float, cpu_s: float) -> dict[str, Any]:
    """A warm run of two ranks, and what came after it."""
    figures = {
        "seconds": seconds,
        "ranks": [rank(0, seconds), rank(1, seconds)],
        "calls": {"sns:Publish": {"requests": 3, "units": 3, "bytes": 9}},
    }
    return {"figures": figures, "bare_s": bare_s, "cpu_s": cpu_s, "load": 0.5}


RESULT = _result(
    "queue", BenchCase(1024, 2, "queue", "row"), [run(8.0, 2.0, 12.4), run(4.0, 4.0, 6.2), run(6.0, 2.0, 31.0)]
) | {"right": 10, "compared": 10}


def test_a_ranks_parts_add_up_to_its_seconds() -> None:
    parts = _parts(rank(3, 2.0))
    assert parts.pop("rank") == 3
    whole = parts.pop("all")
    assert sum(parts.values()) == pytest.approx(whole)
    assert parts["other"] == pytest.approx(1.4)


def test_the_run_of_median_length_is_shown_and_ratios_are_paired() -> None:
    assert [row["all"] for row in RESULT["ranks"]] == [6.0, 6.0]
    assert RESULT["ratio_to_bare"] == 3.0
    assert RESULT["cpu_s"] == 12.4


def test_the_page_and_the_terminal_say_the_same() -> None:
    page, lines = breakdown_markdown([RESULT]), breakdown_lines(RESULT)
    for sentence in lines[3:]:
        assert f"- {sentence}" in page
    assert "124 s, 10.0 times as much" in page
    assert "encoding and decoding: 2.00 of computing" in page
    assert "| 0 | 0.10 | 0.10 | 0.10 | 0.10 | 0.10 | 0.10 | 5.40 | 6.00 |" in page
