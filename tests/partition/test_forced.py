"""Every division that a rule offers, forced through compilation and a run, however little sense it makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from bundle.store import FolderStore
from client.verify import reference, verify
from client.verify_compare import compare
from client.verify_run import run_ranks
from partition import Options
from partition.choices import Choice, split_choices, whole_choices
from partition.compile import Prepared, Target, emit_bundle, prepare
from partition.divisions import OpAxes, all_divisions
from partition.planning import scheduled, whole_layout
from partition.rules import RULES
from partition.search import cheapest_plan
from tests.partition import models


def divisions(prepared: Prepared, workers: int) -> list[list[Choice]]:
    """Per op, its splits without the unsummed ones, which need a partner; whole where it has none."""
    graph = prepared.graph
    rules = [RULES.find(graph.facts(op)) for op in graph.ops]
    found = []
    for op, rule, ways in zip(graph.ops, rules, all_divisions(graph, rules, workers), strict=True):
        choices = split_choices(graph, OpAxes(graph, op, rule, workers), ways) if rule else ()
        found.append([choice for choice in choices if choice.mode == "split"] or list(whole_choices(op)[:1]))
    return found


def run_forced(
    prepared: Prepared, choices: list[Choice], workers: int, inputs: dict[str, models.Array], folder: Path
) -> dict[str, models.Array]:
    """The outputs of a run in which each op is divided as told."""
    plan = cheapest_plan(prepared.graph, [[choice] for choice in choices], workers)
    folder.mkdir()
    layout = whole_layout(scheduled(prepared.graph, prepared.layers, plan, workers))
    compiled = emit_bundle(prepared, layout, Target("forced", "row", workers), folder)
    store = FolderStore(folder / "store")
    compiled.write(store)
    return run_ranks(store, compiled.manifest, inputs, deadline_s=30).outputs


@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("name", sorted(set(models.DENSE) - {"ruleless"}))
def test_any_mix_of_divisions_gives_the_same(name: str, workers: int, tmp_path: Path) -> None:
    proto = models.DENSE[name]()
    prepared = prepare(proto, Options())
    options = divisions(prepared, workers)
    inputs = models.random_inputs(proto, 5)
    want = reference(proto, inputs)
    rng = np.random.default_rng(3)
    for turn in range(6):
        choices = [options[i][int(rng.integers(len(options[i])))] for i in range(len(options))]
        difference = compare(want, run_forced(prepared, choices, workers, inputs, tmp_path / str(turn)))
        assert difference.ok, ([(c.mode, c.letter) for c in choices], difference.problems)


@pytest.mark.parametrize("strategy", ["row", "column"])
@pytest.mark.parametrize("name", ["weighted", "unweighted"])
def test_who_names_a_strategy_gets_work_divided(name: str, strategy: str) -> None:
    relu = models.model([helper.make_node("Relu", ["x"], ["y"])], {"x": [5, 3]}, ["y"])
    proto = relu if name == "unweighted" else models.residual()
    report = verify(proto, None, 3, strategy)
    assert report.ok
    assert report.split_ops >= 1


def test_output_that_nobody_wants_stays_absent() -> None:
    rng = models.floats
    nodes = [helper.make_node("LSTM", ["x", "w", "r"], ["", "h"], hidden_size=4)]
    proto = models.model(nodes, {"x": [3, 5, 2]}, ["h"], {"w": rng(1, 16, 2), "r": rng(1, 16, 4)})
    report = verify(proto, None, 2, "batch")
    assert (report.ok, report.split_ops) == (True, 0)  # the batch of an LSTM is its second axis
    assert verify(proto, None, 2, "row").split_ops == 1


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_negative_axes_of_the_request_on_few_elements(workers: int) -> None:
    proto = models.model([helper.make_node("ReduceMean", ["x", "axes"], ["y"])], {"x": [3, 2, 2], "axes": [1]}, ["y"])
    proto.graph.input[1].type.tensor_type.elem_type = onnx.TensorProto.INT64
    proto.graph.output[0].type.CopyFrom(helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, [3, 1, 2]))
    report = verify(proto, {"x": models.floats(3, 2, 2), "axes": np.array([-2])}, workers, "row")
    assert report.ok, report.problems
    assert (report.split_ops > 0) == (workers <= 3)


@pytest.mark.parametrize("op", ["ReduceMax", "ReduceSum", "ReduceLogSumExp"])
def test_reduction_along_a_negative_axis_of_an_empty_piece(op: str, tmp_path: Path) -> None:
    weights = {"axes": np.array([-1])}
    proto = models.model([helper.make_node(op, ["x", "axes"], ["y"])], {"x": ["n", 6]}, ["y"], weights)
    prepared = prepare(proto, Options())
    inputs = {"x": models.floats(2, 6)}
    got = run_forced(prepared, [divisions(prepared, 4)[0][0]], 4, inputs, tmp_path / "run")
    assert compare(reference(proto, inputs), got).ok


def test_arg_max_along_a_negative_axis_of_an_empty_piece(tmp_path: Path) -> None:
    proto = models.model([helper.make_node("ArgMax", ["x"], ["y"], axis=-1)], {"x": ["n", 6]}, ["y"])
    proto.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    prepared = prepare(proto, Options())
    inputs = {"x": models.floats(2, 6)}
    got = run_forced(prepared, divisions(prepared, 4)[0], 4, inputs, tmp_path / "run")
    assert compare(reference(proto, inputs), got).ok
