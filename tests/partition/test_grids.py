"""Pipelines and grids: the answers of onnxruntime, shares of the weights, and who talks to whom."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import helper

from client.verify import verify
from engine.program import Exchange, Program, Run
from partition import Options, StrategyError, parse_strategy
from partition.compile import lay_out, prepare
from partition.grid import Grid, grid_of, workers_of
from partition.layout import Section
from tests.partition import models
from tests.partition.asked import asked
from tests.partition.test_compile import compiled_programs

GRIDS = (
    ("pipeline", 2),
    ("pipeline", 3),
    ("pipeline", 4),
    ("batch=2,row=2", 4),
    ("batch=3,column=2", 6),
    ("stage=2,row=2", 4),
    ("stage=3,tensor=2", 6),
    ("batch=2,stage=2", 4),
    ("batch=2,stage=2,row=2", 8),
)


def tower(layers: int = 8, width: int = 48, rows: int | str = "n") -> onnx.ModelProto:
    """Equal dense layers with a skip connection over every second one."""
    nodes: list[onnx.NodeProto] = []
    weights: dict[str, models.Array] = {}
    value = "x"
    for i in range(layers):
        weights |= {f"w{i}": models.floats(width, width, seed=i, scale=0.15), f"b{i}": models.floats(width, seed=i)}
        nodes += [
            helper.make_node("MatMul", [value, f"w{i}"], [f"m{i}"]),
            helper.make_node("Add", [f"m{i}", f"b{i}"], [f"a{i}"]),
            helper.make_node("Tanh", [f"a{i}"], [f"t{i}"]),
        ]
        value = f"t{i}"
        if i % 2:
            nodes.append(helper.make_node("Add", [f"t{i}", "x" if i == 1 else f"r{i - 2}"], [f"r{i}"]))
            value = f"r{i}"
    nodes.append(helper.make_node("Relu", [value], ["y"]))
    return models.model(nodes, {"x": [rows, width]}, ["y"], weights)


@pytest.mark.parametrize(("strategy", "workers"), GRIDS)
@pytest.mark.parametrize("name", models.DENSE)
def test_model_on_a_grid_equals_onnxruntime(name: str, strategy: str, workers: int) -> None:
    proto = models.DENSE[name]()
    for manifest, difference in asked(proto, [models.random_inputs(proto, n) for n in (5, 1)], workers, strategy):
        assert difference.ok, difference.problems
        assert (manifest.strategy, manifest.world_size) == (strategy, workers)


@pytest.mark.parametrize(("strategy", "workers"), GRIDS)
def test_sparse_layers_on_a_grid_equal_onnxruntime(strategy: str, workers: int) -> None:
    for _, difference in asked(models.sparse_chain(), map(models.sparse_inputs, (5, 1)), workers, strategy):
        assert difference.ok, difference.problems


@pytest.mark.parametrize("batch", [1, 2, 8])
@pytest.mark.parametrize("strategy", ["pipeline", "batch=2,stage=2", "batch=2,row=2"])
def test_model_of_a_fixed_number_of_samples_equals_onnxruntime(strategy: str, batch: int) -> None:
    proto = tower(rows=batch)
    report = verify(proto, models.random_inputs(proto, batch), 4, strategy)
    assert report.ok, report.problems


@pytest.mark.parametrize("workers", [2, 4, 8])
def test_stages_hold_even_shares_of_the_weights(workers: int) -> None:
    report = verify(tower(), None, workers, "pipeline")
    assert report.ok
    assert max(rank.weight_bytes for rank in report.ranks) * workers <= 1.05 * report.model_weight_bytes
    assert sum(rank.weight_bytes for rank in report.ranks) == report.model_weight_bytes


def test_a_weight_larger_than_a_share_is_divided_within_its_stage() -> None:
    nodes = [helper.make_node("MatMul", [f"h{i}" if i else "x", f"w{i}"], [f"h{i + 1}"]) for i in range(3)]
    nodes.append(helper.make_node("Relu", ["h3"], ["y"]))
    sizes = (64, 256, 16, 16)
    weights = {f"w{i}": models.floats(*sizes[i : i + 2], scale=0.1) for i in range(3)}
    report = verify(models.model(nodes, {"x": ["n", 64]}, ["y"], weights), None, 4, "pipeline")
    assert report.ok
    assert max(rank.weight_bytes for rank in report.ranks) * 4 <= 1.25 * report.model_weight_bytes


def test_a_value_goes_only_to_the_stages_that_read_it(tmp_path: Path) -> None:
    found = compiled_programs(tower(layers=6), "pipeline", 3, tmp_path)
    sent = [{item.root for item in exchanges(program, "send")} for program in found]
    assert sent == [{1}, {2}, {0}]


def exchanges(program: Program, kind: str) -> list[Exchange]:
    return [item for item in program.instructions if isinstance(item, Exchange) and item.kind == kind]


def test_stages_work_on_different_samples_at_the_same_time(tmp_path: Path) -> None:
    """The first stage sends a part of the samples before it computes the next; the last one sends its answer once."""
    first, second, last = compiled_programs(tower(), "pipeline", 3, tmp_path)
    steps = [item.step for item in first.instructions if isinstance(item, Run) and item.weights]
    sends = [item.step for item in exchanges(first, "send") if item.layer != "x"]
    assert sorted(steps + sends) == [step for pair in zip(steps, sends, strict=True) for step in pair]
    assert len([item for item in exchanges(second, "recv") if item.layer != "x"]) == 3
    assert len(exchanges(last, "send")) == 1


def test_parts_of_the_samples_share_sub_graphs_and_weights(tmp_path: Path) -> None:
    program = compiled_programs(tower(), "pipeline", 2, tmp_path)[1]
    runs = [item for item in program.instructions if isinstance(item, Run) and item.weights]
    assert len(runs) == 2
    assert runs[0].graph == runs[1].graph
    assert runs[0].inputs != runs[1].inputs


def test_a_model_that_mixes_samples_goes_through_a_pipeline_whole() -> None:
    layout = lay_out(prepare(models.mixed_batch(), Options()), "pipeline", 2, Options())[1]
    assert all(item.suffix == "" for item in layout.items if isinstance(item, Section))


def test_groups_of_a_batch_grid_hold_the_same_shards() -> None:
    report = verify(tower(), None, 4, "batch=2,row=2")
    shares = [rank.weight_bytes for rank in report.ranks]
    assert shares[:2] == shares[2:]
    assert sum(shares) == 2 * report.model_weight_bytes
    assert report.split_ops == report.split_ops + report.replicated_ops


@pytest.mark.parametrize(
    ("strategy", "workers", "written"),
    [
        ("row=4,batch=2", 8, "batch=2,row=4"),
        (" stage=2 , row=2", 4, "stage=2,row=2"),
        ("stage=4", 4, "pipeline"),
        ("batch=4,row=1", 4, "batch"),
        ("batch=1,stage=1", 1, "serial"),
        ("column=3", 3, "column"),
    ],
)
def test_a_grid_has_one_way_of_writing(strategy: str, workers: int, written: str) -> None:
    assert parse_strategy(strategy, workers) == written
    assert workers_of(strategy, None) == workers


@pytest.mark.parametrize(
    "strategy", ["batch=2,batch=2", "rows=2", "batch=0", "batch=", "batch=2,row=2,column=2", "=", "batch=-1", "a=1,b"]
)
def test_what_is_no_grid_gets_one_line(strategy: str) -> None:
    with pytest.raises(StrategyError, match="expected a grid such as batch=2,row=4") as caught:
        parse_strategy(strategy, 4)
    assert "\n" not in str(caught.value)


def test_a_grid_of_another_size_gets_one_line() -> None:
    with pytest.raises(StrategyError, match=r"^strategy batch=2,row=4: expected 8 workers, got 4$"):
        parse_strategy("batch=2,row=4", 4)


def test_words_are_grids_too() -> None:
    assert grid_of("pipeline", 3) == Grid(stages=3)
    assert grid_of("row", 3) == Grid(within="row", ranks=3)
