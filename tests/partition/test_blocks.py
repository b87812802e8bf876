"""Transformer blocks divided by heads: Megatron's two all-reduces, and onnxruntime's answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from client.verify import reference
from client.verify_compare import compare
from partition import Options
from partition.choices import Choice, split_choices, whole_choices
from partition.compile import Prepared, prepare
from partition.divisions import OpAxes, all_divisions
from partition.rules import RULES
from partition.schedule import Transfer, make_schedule
from partition.search import Plan, cheapest_plan
from partition.weights import piece_of
from tests.partition import blocks, models
from tests.partition.test_forced import run_forced
from zoo.networks.encoder import EncoderOptions, encoder


def plan_divided(prepared: Prepared, workers: int) -> Plan:
    """The cheapest plan in which every matrix is divided, by row or by column."""
    graph = prepared.graph
    rules = [RULES.find(graph.facts(op)) for op in graph.ops]
    allowed: list[Sequence[Choice]] = []
    for op, rule, ways in zip(graph.ops, rules, all_divisions(graph, rules, workers), strict=True):
        choices = list(split_choices(graph, OpAxes(graph, op, rule, workers), ways)) if rule else []
        by_weight = [c for c in choices if rule and c.letter and c.letter in (rule.row, rule.column)]
        has_matrix = any(len(graph.weights[name].shape) > 1 for name in op.reads if name in graph.weights)
        allowed.append(by_weight if has_matrix and by_weight else [*choices, *whole_choices(op)])
    return cheapest_plan(graph, allowed, workers)


def exchanges(prepared: Prepared, plan: Plan, workers: int) -> Counter[str]:
    """How many of each kind the plan needs."""
    levels = make_schedule(prepared.graph, plan, workers, frozenset())
    return Counter(item.move.kind for level in levels for item in level.after if isinstance(item, Transfer))


def shares(prepared: Prepared, plan: Plan, workers: int) -> list[float]:
    """What each rank holds of the weights."""
    graph = prepared.graph
    needs = {need for op, c in zip(graph.ops, plan.choices, strict=True) for need in c.needs(op)}
    held = [(graph.weights[name].numpy(), place) for name, place in needs if name in graph.weights]
    return [
        sum(piece_of(w, place, rank, workers).nbytes for w, place in held) / prepared.weight_bytes
        for rank in range(workers)
    ]


@pytest.mark.parametrize("workers", [2, 3, 4])
@pytest.mark.parametrize("name", sorted(blocks.BLOCKS))
def test_block_costs_two_all_reduces(name: str, workers: int, tmp_path: Path) -> None:
    proto = blocks.BLOCKS[name]()
    prepared = prepare(proto, Options())
    plan = plan_divided(prepared, workers)
    kinds = exchanges(prepared, plan, workers)
    halves = {"all_reduce": 2, "reduce": 2, "all_gather": 1, "gather": 1, "reduce_scatter": 1}
    assert set(kinds) == {"broadcast", *kinds} - {"all_to_all", "scatter"}, kinds
    assert sum(halves.get(kind, 0) * count for kind, count in kinds.items()) == 4, kinds
    assert max(shares(prepared, plan, workers)) <= 1.10 / workers
    inputs = models.random_inputs(proto, 1)
    got = run_forced(prepared, list(plan.choices), workers, inputs, tmp_path / "run")
    assert compare(reference(proto, inputs), got).ok


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_encoder_whose_sizes_the_request_chooses_costs_two_all_reduces_a_layer(workers: int) -> None:
    prepared = prepare(encoder.graph(EncoderOptions(layers=3, width=64, vocabulary=99)), Options())
    kinds = exchanges(prepared, plan_divided(prepared, workers), workers)
    assert kinds["all_reduce"] + kinds["reduce"] == 2 * 3, kinds  # a reduce is followed by a broadcast
    assert kinds["all_gather"] == 1, kinds  # of the embedding
    assert not set(kinds) & {"all_to_all", "gather", "scatter", "reduce_scatter"}, kinds
