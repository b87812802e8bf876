"""Verification itself: it tells right from wrong, reports what happened, and never hangs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bundle.manifest import TensorSpec
from bundle.store import FolderStore
from client.verify import reference, run_split, verify
from client.verify_compare import compare
from client.verify_inputs import SYMBOLIC_SIZE, random_inputs
from client.verify_run import run_ranks
from engine import EngineError
from partition import InvalidModelError, Options, compile_to_store
from partition.errors import StrategyError
from tests.partition import models


def test_report_counts_what_ranks_hold_and_exchange() -> None:
    weights = {"w": models.floats(12, 8)}
    proto = models.model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": ["n", 12]}, ["y"], weights)
    report = verify(proto, {"x": models.floats(6, 12)}, 2, "row")
    assert (report.ok, report.strategy, report.world_size) == (True, "row", 2)
    assert report.model_weight_bytes == 12 * 8 * 4
    assert [(rank.rank, rank.weight_bytes) for rank in report.ranks] == [(0, 12 * 4 * 4), (1, 12 * 4 * 4)]
    assert report.exchanges == {"broadcast": 1, "gather": 1}
    assert report.exchanged_bytes == 6 * 12 * 4 + 6 * 4 * 4
    assert (report.split_ops, report.replicated_ops) == (1, 0)
    assert all(rank.peak_bytes >= 6 * 12 * 4 for rank in report.ranks)


def test_report_as_json_has_every_field() -> None:
    fields = json.loads(verify(models.bias_only(), None, 2, "batch").to_json())
    assert {
        "ok",
        "max_abs_err",
        "max_rel_err",
        "strategy",
        "world_size",
        "model_weight_bytes",
        "ranks",
        "exchanges",
        "exchanged_bytes",
        "split_ops",
        "replicated_ops",
    } <= set(fields)
    assert set(fields["ranks"][0]) == {"rank", "weight_bytes", "peak_bytes", "tensor_bytes", "baseline_bytes"}


@pytest.mark.parametrize(
    ("precision", "least", "most"), [("exact", 0, 1e-6), ("fp16", 1e-7, 1e-2), ("int8", 1e-4, 0.3)]
)
def test_precision_of_the_transport_is_a_choice_and_its_error_shows(precision: str, least: float, most: float) -> None:
    weights = {"w": models.floats(12, 8)}
    proto = models.model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": ["n", 12]}, ["y"], weights)
    x = models.floats(6, 12)
    got = run_split(proto, {"x": x}, 2, "row", Options(precision=precision))["y"]
    assert least <= np.abs(np.asarray(got) - x @ weights["w"]).max() <= most


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(StrategyError, match="expected one of exact, fp16, bf16, int8, got 'fp8'"):
        Options(precision="fp8")


def test_run_split_gives_every_output_by_name() -> None:
    proto = models.residual()
    inputs = models.random_inputs(proto, 5)
    got, want = run_split(proto, inputs, 3, "column"), reference(proto, inputs)
    assert set(got) == set(want) == {"y", "v"}
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, atol=1e-5)


@pytest.mark.parametrize("strategy", ["batch", "row", "column"])
def test_rank_that_fails_ends_all_others(strategy: str, tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    manifest = compile_to_store(store, models.digits_mlp(), strategy, 3)
    with pytest.raises(EngineError):
        run_ranks(store, manifest, {"x": models.floats(5, 63)}, deadline_s=30)


def test_missing_input_ends_the_run(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    manifest = compile_to_store(store, models.digits_mlp(), "row", 2)
    with pytest.raises(EngineError):
        run_ranks(store, manifest, {}, deadline_s=30)


def test_damaged_weights_are_seen() -> None:
    proto = models.digits_mlp()
    inputs = models.random_inputs(proto, 5)
    other = models.digits_mlp()
    other.graph.initializer[0].raw_data = bytes(len(other.graph.initializer[0].raw_data))
    assert not compare(reference(proto, inputs), run_split(other, inputs, 2, "row")).ok


def test_model_that_onnxruntime_refuses_is_named() -> None:
    proto = models.bias_only()
    with pytest.raises(InvalidModelError, match="onnxruntime refuses"):
        reference(proto, {"x": models.floats(2, 8)})


def test_compare_finds_each_kind_of_difference() -> None:
    want = {"y": np.array([1.0, 2.0], np.float32)}
    assert compare(want, {"y": np.array([1.0, 2.00001], np.float32)}).ok
    for wrong in (
        np.array([1.0, 2.1], np.float32),
        np.array([1.0, np.nan], np.float32),
        np.array([1.0, 2.0], np.float64),
        np.array([[1.0, 2.0]], np.float32),
    ):
        assert not compare(want, {"y": wrong}).ok
    assert not compare(want, {}).ok
    assert not compare({"i": np.array([1])}, {"i": np.array([2])}).ok
    pair = [want["y"], want["y"]]
    assert compare({"s": pair}, {"s": list(pair)}).ok
    assert not compare({"s": pair}, {"s": pair[:1]}).ok
    assert not compare({"s": pair}, {"s": [want["y"], want["y"] + 1]}).ok
    assert compare({"o": None}, {"o": None}).ok
    assert not compare({"o": None}, {"o": want["y"]}).ok
    assert compare({"m": {"a": 0.1, "b": 2.0}}, {"m": {"b": 2.0, "a": 0.1000000001}}).ok
    assert not compare({"m": {"a": 0.1}}, {"m": {"a": 0.2}}).ok
    assert not compare({"m": {"a": 0.1}}, {"m": {"b": 0.1}}).ok


def test_compare_takes_nan_and_inf_for_equal_to_themselves() -> None:
    odd = {"y": np.array([np.nan, np.inf, -np.inf, 0.5])}
    assert compare(odd, {"y": odd["y"].copy()}).ok
    assert not compare(odd, {"y": np.array([np.nan, -np.inf, -np.inf, 0.5])}).ok


def test_compare_measures_errors() -> None:
    found = compare({"y": np.array([100.0, 1.0])}, {"y": np.array([100.5, 1.0])})
    assert (found.ok, found.max_abs_err, found.max_rel_err) == (False, 0.5, 0.005)


def test_random_inputs_are_seeded_and_follow_the_signature() -> None:
    specs = (TensorSpec("a", "float32", ("n", 3)), TensorSpec("i", "int64", (2,)), TensorSpec("s", "string", ("", 1)))
    first, again, other = random_inputs(specs), random_inputs(specs), random_inputs(specs, seed=1)
    assert [first[spec.name].shape for spec in specs] == [(SYMBOLIC_SIZE, 3), (2,), (SYMBOLIC_SIZE, 1)]
    np.testing.assert_array_equal(first["a"], again["a"])
    assert not np.array_equal(first["a"], other["a"])
    assert set(first["i"]) <= {0, 1}


def test_sequences_and_optionals_come_and_go_as_onnxruntime_has_them() -> None:
    tensor = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    sequence = helper.make_sequence_type_proto(tensor)
    nodes = [
        helper.make_node("SequenceInsert", ["s", "x"], ["longer"]),
        helper.make_node("Optional", ["longer"], ["maybe"]),
    ]
    inputs = [helper.make_value_info("s", sequence), helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])]
    outputs = [
        helper.make_value_info("longer", sequence),
        helper.make_value_info("maybe", helper.make_optional_type_proto(sequence)),
    ]
    graph = helper.make_graph(nodes, "sequences", inputs, outputs)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    feeds = {"s": [models.floats(2, 3), models.floats(4)], "x": models.floats(5, 3)}
    got = run_split(proto, feeds, 3, "row")
    assert [item.shape for item in got["longer"]] == [(2, 3), (4,), (5, 3)]
    assert compare(reference(proto, feeds), got).ok


def test_maps_come_as_onnxruntime_has_them() -> None:
    kind = onnx.TypeProto()
    kind.sequence_type.elem_type.map_type.key_type = TensorProto.STRING
    kind.sequence_type.elem_type.map_type.value_type.tensor_type.elem_type = TensorProto.FLOAT
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["scores"]),
        helper.make_node("ZipMap", ["scores"], ["y"], domain="ai.onnx.ml", classlabels_strings=["a", "b", "c"]),
    ]
    weights = {"w": models.floats(6, 3)}
    proto = models.model(nodes, {"x": ["n", 6]}, ["y"], weights)
    proto.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    proto.graph.output[0].type.CopyFrom(kind)
    feeds = {"x": models.floats(4, 6)}
    got = run_split(proto, feeds, 2, "column")
    assert [sorted(row) for row in got["y"]] == [["a", "b", "c"]] * 4
    assert compare(reference(proto, feeds), got).ok


@pytest.mark.parametrize("dtype", [TensorProto.BFLOAT16, TensorProto.FLOAT16, TensorProto.FLOAT8E4M3FN])
@pytest.mark.parametrize("strategy", ["row", "column", "batch"])
def test_narrow_floats_travel(dtype: int, strategy: str) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["wide", "w"], ["product"]),
        helper.make_node("Cast", ["product"], ["y"], to=dtype),
    ]
    proto = models.model(nodes, {"x": ["n", 7]}, ["y"], {"w": models.floats(7, 5)}, opset=21)
    for info in (proto.graph.input[0], proto.graph.output[0]):
        info.type.tensor_type.elem_type = dtype
    report = verify(proto, None, 3, strategy)
    assert report.ok, report.problems
    assert report.split_ops >= 1


def test_strings_are_computed_whole_beside_split_numbers() -> None:
    nodes = [
        helper.make_node("StringConcat", ["s", "s"], ["t"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    proto = models.model(nodes, {"s": ["n"], "x": ["n", 6]}, ["t", "y"], {"w": models.floats(6, 4)}, opset=20)
    for info in (proto.graph.input[0], proto.graph.output[0]):
        info.type.tensor_type.elem_type = TensorProto.STRING
    feeds = {"s": np.array(["ä", "b\n"], dtype=object), "x": models.floats(2, 6)}
    got = run_split(proto, feeds, 2, "row")
    assert got["t"].tolist() == ["ää", "b\nb\n"]
    assert verify(proto, feeds, 2, "row").split_ops == 1


def test_local_functions_are_inlined_and_split() -> None:
    body = [helper.make_node("MatMul", ["a", "b"], ["c"]), helper.make_node("Relu", ["c"], ["d"])]
    opsets = [helper.make_opsetid("", 18)]
    inner = helper.make_function("own", "Dense", ["a", "b"], ["d"], body, opsets)
    call = [helper.make_node("Dense", ["e", "f"], ["g"], domain="own")]
    outer = helper.make_function("own", "Twice", ["e", "f"], ["g"], call, [*opsets, helper.make_opsetid("own", 1)])
    proto = models.model(
        [helper.make_node("Twice", ["x", "w"], ["y"], domain="own")], {"x": ["n", 6]}, ["y"], {"w": models.floats(6, 5)}
    )
    proto.opset_import.append(helper.make_opsetid("own", 1))
    proto.functions.extend([inner, outer])
    report = verify(proto, None, 3, "row")
    assert report.ok
    assert report.split_ops == 2


def test_path_and_proto_give_the_same(tmp_path: Path) -> None:
    proto = models.digits_mlp()
    onnx.save_model(proto, tmp_path / "m.onnx")
    inputs = models.random_inputs(proto, 3)
    np.testing.assert_array_equal(
        run_split(proto, inputs, 3, "row")["y"], run_split(tmp_path / "m.onnx", inputs, 3, "row")["y"]
    )
