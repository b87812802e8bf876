"""Which exchanges of sparse layers one rank hands on, and that programs and forecasts say so."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.codec import program_from_json
from engine.program import Exchange
from partition import Options
from partition.compile import lay_out, prepare
from partition.emit import emit_rank
from partition.layout import Layout
from partition.sparse.maps import rows_between
from partition.sparse.plan import ChainPlan
from partition.sparse.relays import NOBODY, Relay
from partition.traffic import traffic
from zoo.graphchallenge import Options as ChallengeOptions
from zoo.graphchallenge import graphchallenge_1024

pytestmark = pytest.mark.timeout(120)


@cache
def laid_out(strategy: str, workers: int) -> Layout:
    """Twelve layers of 1,024 neurons, divided."""
    with TemporaryDirectory() as folder:
        model = graphchallenge_1024.build(ChallengeOptions(layers=12), Path(folder))
        return lay_out(prepare(model, Options()), strategy, workers, Options())[1]


def plans(layout: Layout) -> list[ChainPlan]:
    """The chains of sparse layers of all parts."""
    return [plan for part in layout.places for plan in part.chains.values()]


def travelling(plan: ChainPlan) -> dict[int, NDArray[np.bool_]]:
    """[P, P] by number of a boundary: whether a rank has rows for another."""
    found = {at.number: rows_between(at.held, at.wanted) > 0 for at in plan.boundaries}
    return {number: between & ~np.eye(len(between), dtype=bool) for number, between in found.items()}


@pytest.mark.parametrize("strategy", ["row", "column"])
def test_the_last_of_eight_ranks_hands_on_what_all_have_for_all(strategy: str) -> None:
    (plan,) = plans(laid_out(strategy, 8))
    to_all = {number for number, between in travelling(plan).items() if between.sum() == 8 * 7}
    assert len(to_all) >= 4
    assert {plan.relays[number] for number in to_all} == {Relay(7, tuple(range(8)), ("object",))}
    assert {plan.relays[number] for number, between in travelling(plan).items() if between.sum() <= 16} <= {NOBODY}


@pytest.mark.parametrize("strategy", ["row", "column"])
@pytest.mark.parametrize("workers", [2, 3, 4])
def test_few_ranks_send_to_each_other(strategy: str, workers: int) -> None:
    (plan,) = plans(laid_out(strategy, workers))
    assert any(between.any() for between in travelling(plan).values())
    assert set(plan.relays.values()) == {NOBODY}


def exchanges_of(layout: Layout, rank: int) -> list[Exchange]:
    """The exchanges of rows of a rank's program."""
    found = emit_rank(layout, rank, io.BytesIO())
    program = program_from_json(found.blobs[found.program.sha256])
    return [one for one in program.instructions if isinstance(one, Exchange) and one.kind == "rows" and one.relay >= 0]


@pytest.mark.parametrize(
    ("strategy", "workers", "first"),
    [("row", 8, 0), ("column", 8, 0), ("batch=2,row=8", 16, 0), ("batch=2,row=8", 16, 8)],
)
def test_programs_name_ranks_of_their_own_section_and_senders_to_who_hands_on(
    strategy: str, workers: int, first: int
) -> None:
    layout = laid_out(strategy, workers)
    section = tuple(range(first, first + 8))
    for rank in section:
        exchanges = exchanges_of(layout, rank)
        assert len(exchanges) >= 4
        assert {one.group for one in exchanges} == {section}
        assert {one.relay for one in exchanges} == {section[-1]}
        assert {one.relay_on for one in exchanges} == {("object",)}
        assert {one.senders for one in exchanges} == {section if rank == section[-1] else ()}


@pytest.mark.parametrize(("strategy", "workers"), [("row", 8), ("column", 8), ("row", 4)])
def test_what_is_foretold_of_the_traffic_is_relayed_where_a_rank_hands_on(strategy: str, workers: int) -> None:
    layout = laid_out(strategy, workers)
    (plan,) = plans(layout)
    exchanged = {number: bool(between.any()) for number, between in travelling(plan).items()}
    expected = [plan.relays[number].on for number in sorted(exchanged) if exchanged[number]]
    found = traffic(layout, {"x": (6, 1024)}, {})
    assert [sent.relayed for sent in found if sent.kind == "rows"] == expected
    assert not any(sent.relayed for sent in found if sent.kind != "rows")
