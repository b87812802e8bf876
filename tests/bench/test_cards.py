"""What makes the table of built networks fail: each thing by itself, and a small network measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import cards
from bench.cards import Row, main, measure, named, page

GOOD = Row("vit", "auto", 4, 1.05, 1_050, 1_050, 1e-7, ok=True, least_bytes=1_000)


@pytest.mark.parametrize(
    "change",
    [
        {"ok": False},
        {"predicted_bytes": 1_049},
        {"share": 1.101},
        {"exchanged_bytes": 1_051, "predicted_bytes": 1_051},
        {"least_bytes": 999},
        {"strategy": "pipeline", "share": 1.26},
        {"card": "lstm", "share": 4.0, "predicted_bytes": 0},
    ],
)
def test_a_row_misses_by_any_one_thing(change: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    row = replace(GOOD, **change)
    assert GOOD.holds
    assert not row.holds
    assert "**missed**" in page([GOOD, row])
    monkeypatch.setattr(cards, "measure", lambda *_: iter([GOOD, row]))
    assert main(["--cards", "vit"]) == 1


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"predicted_bytes": None},
        {"least_bytes": None},
        {"strategy": "pipeline", "share": 1.25, "least_bytes": None},
        {"card": "lstm", "share": 4.0},
    ],
)
def test_a_row_holds_within_its_limits(change: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    row = replace(GOOD, **change)
    assert row.holds
    monkeypatch.setattr(cards, "measure", lambda *_: iter([row]))
    assert main(["--cards", "vit"]) == 0


def test_strategies_are_all_that_divide_the_model() -> None:
    assert list(named(2)) == ["row", "column", "tensor", "pipeline"]
    grids = {f"stage={stages},{within}={8 // stages}" for stages in (2, 4) for within in ("row", "column", "tensor")}
    assert {*named(8)} == {*named(2), *grids}


def test_auto_is_held_against_the_strategy_that_sends_least_of_those_that_fit(tmp_path: Path) -> None:
    """Of the encoder's blocks, row and pipeline fit; what auto sends is foretold and near the lesser one."""
    given = {"layers": 2, "width": 64, "heads": 4, "vocabulary": 128}
    rows = {row.strategy: row for row in measure("encoder", tmp_path, ["row", "pipeline", "auto"], [2], given)}
    assert all(row.ok and row.foretold for row in rows.values())
    fitting = [row.exchanged_bytes for row in rows.values() if row.share <= 1.10 and row.strategy != "auto"]
    least = rows["auto"].least_bytes
    assert least is not None
    assert least <= min(fitting)
    assert rows["row"].least_bytes is None
    assert rows["auto"].frugal


def test_an_exempt_network_gives_auto_what_the_best_strategy_needs(tmp_path: Path) -> None:
    rows = list(measure("lstm", tmp_path, ["pipeline", "auto"], [2, 4]))
    fullest = {(row.strategy, row.workers): row.share for row in rows}
    assert fullest["auto", 2] <= 1.10
    assert fullest["auto", 4] <= max(1.10, fullest["pipeline", 4])
    assert all(row.holds and row.exchanged_bytes > 0 for row in rows)
