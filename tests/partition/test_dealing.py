"""Pieces of unequal size: heads that divide badly still cost two all-reduces a block, and ranks hold equal shares."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

from client.verify import VerifyReport, reference, verify
from client.verify_compare import compare
from partition import Options
from partition.choices import Choice, whole_choices
from partition.compile import Prepared, lay_out, prepare
from partition.dealing import dealt
from partition.lots import Deal, Lot, Lots
from partition.placement import Shard
from partition.policy import allowed_choices
from partition.search import cheapest_plan
from partition.traffic import traffic
from partition.work import work_by_rank
from tests.partition import blocks, models
from tests.partition.test_blocks import plan_divided
from tests.partition.test_forced import divisions, run_forced

SHARE = 1.1
BADLY = [(4, 3), (6, 4), (12, 8), (5, 3), (8, 3)]
GROUPED = [(8, 4, 3), (12, 4, 3), (10, 5, 4)]  # heads, of keys and values, workers


def divided(proto: onnx.ModelProto, workers: int, strategy: str = "tensor") -> VerifyReport:
    """What became of it; right, as foretold, and within its share."""
    inputs = models.random_inputs(proto, 1)
    options = Options(weight_share=SHARE, shapes={name: np.shape(value) for name, value in inputs.items()})
    report = verify(proto, inputs, workers, strategy, options)
    assert report.ok, report.problems
    assert max(rank.weight_bytes for rank in report.ranks) * workers <= SHARE * report.model_weight_bytes
    sent = traffic(lay_out(prepare(proto, options), strategy, workers, options)[1], {}, {})
    assert report.exchanged_bytes == sum(one.nbytes for one in sent)
    return report


def assert_two_all_reduces(report: VerifyReport, blocks: int) -> None:
    """Per block; one may be a reduce to rank 0, which then goes on alone as far as the next broadcast."""
    kinds = dict(report.exchanges)
    assert kinds.pop("all_reduce", 0) + kinds.get("reduce", 0) == 2 * blocks, report.exchanges
    assert kinds.pop("broadcast") == kinds.pop("reduce"), report.exchanges  # the first, of x, for the last, of y
    assert not kinds, report.exchanges


@pytest.mark.parametrize("layers", [1, 2, 4])
@pytest.mark.parametrize(("heads", "workers"), BADLY)
def test_a_block_whose_heads_divide_badly_costs_two_all_reduces(heads: int, workers: int, layers: int) -> None:
    assert_two_all_reduces(divided(blocks.encoder(16 * heads, heads, layers), workers), layers)


@pytest.mark.parametrize(("heads", "workers"), [(4, 3), (6, 4)])
@pytest.mark.parametrize("name", ["fused_by_reshape", "fused_by_split"])
def test_so_does_one_with_query_key_and_value_in_one_weight(name: str, heads: int, workers: int) -> None:
    proto = (blocks.fused_by_split if name == "fused_by_split" else blocks.fused_by_reshape)(16 * heads, heads)
    assert_two_all_reduces(divided(proto, workers), 1)


@pytest.mark.parametrize("op", blocks.GROUPED)
@pytest.mark.parametrize(("heads", "groups", "workers"), GROUPED)
def test_so_does_one_whose_keys_have_several_queries(heads: int, groups: int, workers: int, op: str) -> None:
    assert_two_all_reduces(divided(blocks.grouped(heads, groups, op=op), workers), 2)


@pytest.mark.parametrize("op", blocks.GROUPED)
@pytest.mark.parametrize(("heads", "groups"), [(4, 1), (6, 2)])
def test_fewer_heads_of_keys_than_ranks_are_right_and_within_their_share(heads: int, groups: int, op: str) -> None:
    divided(blocks.grouped(heads, groups, op=op), 3)


@pytest.mark.parametrize("strategy", ["auto", "column", "row", "stage=2,tensor=3"])
@pytest.mark.parametrize("heads", [4, 5])
def test_other_strategies_are_right_and_within_their_share(strategy: str, heads: int) -> None:
    divided(blocks.encoder(16 * heads, heads, 2), 6 if "stage" in strategy else 3, strategy)


def test_the_words_of_a_table_make_up_for_heads() -> None:
    """Attention alone, whose heads are 2, 1 and 1, behind a table: no hidden units that could."""
    block = blocks.Block(64, 4)
    h = block.op("Gather", models.floats(900, 64, scale=0.1), block.op("Cast", "x", to=onnx.TensorProto.INT64))
    q, k, v = (block.by_heads(block.linear(h, 64, 64), [0, -1]) for _ in range(3))
    proto = block.model([1, 5], block.linear(block.merged(block.attend(q, k, v), [0, -1]), 64, 64))
    options = Options(weight_share=SHARE)
    report = verify(proto, {"x": np.array([[3, 899, 0, 77, 400]], np.float32)}, 3, "tensor", options)
    assert report.ok, report.problems
    held = [rank.weight_bytes for rank in report.ranks]
    assert max(held) * 3 <= SHARE * report.model_weight_bytes


def heads_by_rank(prepared: Prepared, choices: Sequence[Choice], workers: int) -> list[list[int]]:
    """Of each block."""
    found = []
    for op, choice in zip(prepared.graph.ops, choices, strict=True):
        heads = (prepared.graph.values[op.outputs[0]].shape or ())[1]
        place = choice.outputs[0]
        if op.proto.op_type == "Softmax" and isinstance(place, Shard) and isinstance(heads, int):
            found.append([place.length(heads, workers, rank) for rank in range(workers)])
    return found


def busiest(prepared: Prepared, choices: Sequence[Choice], workers: int) -> float:
    """What the rank that computes most computes, in even shares."""
    work = work_by_rank(prepared.graph, choices, workers)
    return max(work) * workers / sum(work)


@pytest.mark.parametrize(("heads", "workers"), BADLY)
def test_another_rank_gets_the_extra_head_in_the_next_block_and_nobody_works_more(heads: int, workers: int) -> None:
    prepared = prepare(blocks.encoder(16 * heads, heads, workers), Options())
    before = plan_divided(prepared, workers).choices
    after = dealt(prepared.graph, before, workers)
    of_block = heads_by_rank(prepared, after, workers)
    assert {max(one) for one in of_block} == {-(-heads // workers)}
    assert {sum(of_rank) for of_rank in zip(*of_block, strict=True)} == {heads}
    assert busiest(prepared, after, workers) < busiest(prepared, before, workers)


def test_what_is_even_stays_as_it_is() -> None:
    prepared = prepare(blocks.encoder(64, 8, 2), Options())
    choices = plan_divided(prepared, 4).choices
    assert dealt(prepared.graph, choices, 4) == choices


def test_pieces_are_not_dealt_where_the_busiest_rank_would_work_more() -> None:
    """Rank 0 holds a table that has no work; levelling weights would give all the work to the others."""
    block = blocks.Block(8, 1)
    h = block.op("Gather", models.floats(90, 8), block.op("Cast", "x", to=onnx.TensorProto.INT64))
    prepared = prepare(block.model([4], block.linear(block.linear(h, 8, 30), 30, 8)), Options())
    allowed = [
        whole_choices(op)[-1:] if op.proto.op_type in ("Gather", "Cast") else choices
        for op, choices in zip(prepared.graph.ops, allowed_choices(prepared.graph, "row", 3), strict=True)
    ]
    choices = cheapest_plan(prepared.graph, allowed, 3).choices
    assert dealt(prepared.graph, choices, 3) == choices


def random_deals(lots: Lots, workers: int, dice: random.Random) -> dict[Lot, Deal]:
    """Any: at least one unit for each rank."""
    found = {}
    for lot in lots.all():
        if lot.units >= workers:
            cuts = sorted(dice.sample(range(1, lot.units), workers - 1))
            found[lot] = tuple(b - a for a, b in itertools.pairwise([0, *cuts, lot.units]))
    return found


@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("name", sorted(set(models.DENSE) - {"ruleless"}))
def test_any_deal_of_any_mix_of_divisions_gives_the_same(name: str, workers: int, tmp_path: Path) -> None:
    proto = models.DENSE[name]()
    prepared = prepare(proto, Options())
    inputs, options = models.random_inputs(proto, 5), divisions(prepared, workers)
    want, dice = reference(proto, inputs), random.Random(f"{name} {workers}")
    for turn in range(4):
        lots = Lots(prepared.graph, [dice.choice(choices) for choices in options])
        choices = list(lots.changed(random_deals(lots, workers, dice)))
        got = run_forced(prepared, choices, workers, inputs, tmp_path / str(turn))
        assert compare(want, got).ok, [str(choice.inputs) for choice in choices]


@pytest.mark.parametrize("name", sorted(blocks.BLOCKS))
def test_any_deal_of_a_block_gives_the_same(name: str, tmp_path: Path) -> None:
    proto = blocks.BLOCKS[name]()
    prepared = prepare(proto, Options())
    inputs, dice = models.random_inputs(proto, 1), random.Random(name)
    lots = Lots(prepared.graph, plan_divided(prepared, 3).choices)
    deals = random_deals(lots, 3, dice)
    assert len(deals) >= 2
    got = run_forced(prepared, list(lots.changed(deals)), 3, inputs, tmp_path / "run")
    assert compare(reference(proto, inputs), got).ok
