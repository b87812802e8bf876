"""Whole models, compiled, run by all ranks over real frames, and held against onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from bundle.manifest import Manifest
from client.verify import run_split, verify
from engine.codec import program_from_json
from engine.program import Exchange, Free, Program, Run
from partition import Options, Sparsity, StrategyError, compile_model
from tests.partition import models
from tests.partition.asked import asked

STRATEGIES = ("batch", "row", "column", "auto")
_UNKNOWN = (
    "strategy: expected one of auto, batch, column, pipeline, row, serial, tensor, "
    "or a grid such as batch=2,row=4, got 'diagonal'"
)


def programs(manifest: Manifest, assets: dict[str, bytes]) -> list[Program]:
    return [program_from_json(assets[entry.program]) for entry in manifest.ranks]


def compiled_programs(proto: onnx.ModelProto, strategy: str, workers: int, folder: Path) -> list[Program]:
    compiled = compile_model(proto, strategy, workers, folder)
    small = {key: data for key, data in compiled.assets.items() if isinstance(data, bytes)}
    return programs(compiled.manifest, small)


def kinds(program: Program) -> list[str]:
    return [item.kind for item in program.instructions if isinstance(item, Exchange)]


@pytest.mark.parametrize("workers", range(1, 9))
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_digits_mlp_equals_onnxruntime_on_any_number_of_ranks(strategy: str, workers: int) -> None:
    proto = models.digits_mlp()
    for _, difference in asked(proto, [models.random_inputs(proto, n) for n in (7, 1)], workers, strategy):
        assert difference.ok, difference.problems
        assert difference.max_abs_err <= 1e-5


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", models.DENSE)
def test_model_equals_onnxruntime_split_over_2_3_and_8_ranks(name: str, strategy: str) -> None:
    proto = models.DENSE[name]()
    for workers, batch in ((2, 7), (3, 5), (8, 2)):
        report = verify(proto, models.random_inputs(proto, batch), workers, strategy)
        assert report.ok, (workers, batch, report.problems)


@pytest.mark.parametrize("strategy", ["row", "column"])
def test_open_sizes_of_sub_graphs_have_names_of_their_own(strategy: str, tmp_path: Path) -> None:
    """onnxruntime's session of a long graph takes forty times as long where they have none."""
    compiled = compile_model(models.digits_mlp(), strategy, 2, tmp_path)
    graphs = [a.sha256 for a in compiled.manifest.assets if a.kind == "graph"]
    protos = [onnx.ModelProto.FromString(data) for key in graphs if isinstance(data := compiled.assets[key], bytes)]
    for proto in protos:
        infos = [*proto.graph.input, *proto.graph.output]
        sizes = [dim for info in infos for dim in info.type.tensor_type.shape.dim if not dim.HasField("dim_value")]
        names = [dim.dim_param for dim in sizes]
        assert names, "the batch is open"
        assert all(names)
        assert len(set(names)) == len(names)
    assert protos


@pytest.mark.parametrize("name", models.DENSE)
def test_serial_equals_onnxruntime_without_any_exchange(name: str) -> None:
    proto = models.DENSE[name]()
    report = verify(proto, models.random_inputs(proto, 4), 1, "serial")
    assert report.ok, report.problems
    assert report.exchanges == {}


def test_one_registration_answers_any_batch_size() -> None:
    proto = models.digits_mlp()
    for _, difference in asked(proto, [models.random_inputs(proto, n) for n in (4, 1, 9)], 3, "row"):
        assert difference.max_abs_err <= 1e-5


def test_batch_exchanges_one_scatter_and_one_gather(tmp_path: Path) -> None:
    for program in compiled_programs(models.digits_mlp(), "batch", 3, tmp_path):
        assert kinds(program) == ["scatter", "gather"]


def test_row_gathers_inputs_before_each_product(tmp_path: Path) -> None:
    found = kinds(compiled_programs(models.digits_mlp(), "row", 3, tmp_path)[1])
    assert found == ["broadcast", "all_gather", "all_gather", "gather"]


def test_column_sums_outputs_after_each_product(tmp_path: Path) -> None:
    found = kinds(compiled_programs(models.digits_mlp(), "column", 3, tmp_path)[1])
    assert found == ["scatter", "reduce_scatter", "reduce_scatter", "reduce"]


@pytest.mark.parametrize("strategy", ["row", "column"])
@pytest.mark.parametrize("workers", [2, 3, 5, 8])
def test_no_rank_holds_more_than_its_share_of_the_weights(strategy: str, workers: int, tmp_path: Path) -> None:
    sizes = (320, 641, 322)
    nodes = [helper.make_node("MatMul", ["x", "w0"], ["a"]), helper.make_node("MatMul", ["a", "w1"], ["y"])]
    weights = {f"w{i}": models.floats(*sizes[i : i + 2]) for i in range(2)}
    proto = models.model(nodes, {"x": ["n", sizes[0]]}, ["y"], weights)
    manifest = compile_model(proto, strategy, workers, tmp_path).manifest
    share = manifest.model_weight_bytes / workers
    assert max(entry.weight_bytes for entry in manifest.ranks) <= 1.02 * share
    assert sum(entry.weight_bytes for entry in manifest.ranks) == manifest.model_weight_bytes


def test_ranks_of_a_batch_split_share_one_shard(tmp_path: Path) -> None:
    manifest = compile_model(models.digits_mlp(), "batch", 4, tmp_path).manifest
    assert len({entry.shard for entry in manifest.ranks}) == 1
    assert [asset.kind for asset in manifest.assets].count("shard") == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_weight_that_two_products_share_is_stored_once(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("MatMul", ["a", "w"], ["y"])]
    proto = models.model(nodes, {"x": ["n", 32]}, ["y"], {"w": models.floats(32, 32)})
    manifest = compile_model(proto, "row", 2, tmp_path).manifest
    assert [entry.weight_bytes for entry in manifest.ranks] == [32 * 16 * 4] * 2


@pytest.mark.parametrize("strategy", ["row", "column", "batch"])
def test_every_tensor_is_freed_after_its_last_use(strategy: str, tmp_path: Path) -> None:
    for program in compiled_programs(models.residual(), strategy, 3, tmp_path):
        alive = {"x", "z"} if program.rank == 0 else set()
        for item in program.instructions:
            if isinstance(item, Run):
                assert alive.issuperset(item.inputs)
                alive.update(item.outputs)
            elif isinstance(item, Exchange):
                alive.update(filter(None, [item.output]))
            else:
                alive.difference_update(item.tensors)
        assert alive == ({"y", "v"} if program.rank == 0 else set())


@pytest.mark.parametrize("strategy", ["row", "column", "batch"])
def test_exchange_has_the_same_step_and_kind_on_every_rank(strategy: str, tmp_path: Path) -> None:
    found = compiled_programs(models.residual(), strategy, 3, tmp_path)
    steps = [{i.step: i.kind for i in program.instructions if isinstance(i, Exchange)} for program in found]
    assert steps[0]
    assert all(other == steps[0] for other in steps)


def test_steps_ascend_and_are_unique(tmp_path: Path) -> None:
    for program in compiled_programs(models.attention_like(), "column", 3, tmp_path):
        steps = [item.step for item in program.instructions]
        assert steps == sorted(set(steps))
        assert any(isinstance(item, Free) for item in program.instructions)


def test_sub_graphs_hold_no_weights(tmp_path: Path) -> None:
    compiled = compile_model(models.digits_mlp(), "row", 2, tmp_path)
    blobs = [compiled.assets[asset.sha256] for asset in compiled.manifest.assets if asset.kind == "graph"]
    found = [t for blob in blobs if isinstance(blob, bytes) for t in onnx.ModelProto.FromString(blob).graph.initializer]
    assert found
    assert all(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in found)


def test_equal_compilations_are_one_bundle(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    first, second = (compile_model(models.residual(), "column", 3, folder).manifest for folder in folders)
    assert first.bundle_id == second.bundle_id


def test_manifest_names_the_signature(tmp_path: Path) -> None:
    manifest = compile_model(models.residual(), "row", 2, tmp_path, name="mine").manifest
    assert manifest.model == "mine"
    assert [(s.name, s.dtype, s.shape) for s in manifest.inputs] == [
        ("x", "float32", ("n", 7)),
        ("z", "float32", ("n", 1)),
    ]
    assert [s.name for s in manifest.outputs] == ["y", "v"]


def test_random_op_runs_on_one_rank_only(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("RandomNormalLike", ["a"], ["r"], seed=1.0),
        helper.make_node("Add", ["a", "r"], ["y"]),
    ]
    proto = models.model(nodes, {"x": ["n", 6]}, ["y"], {"w": models.floats(6, 8)})
    compiled = compile_model(proto, "row", 3, tmp_path)
    holders = 0
    for entry in compiled.manifest.ranks:
        graphs = [onnx.ModelProto.FromString(bytes(compiled.assets[key])) for key in entry.graphs]
        holders += any(node.op_type == "RandomNormalLike" for graph in graphs for node in graph.graph.node)
    assert holders == 1


def test_unsummed_value_flows_through_linear_ops(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["a"]),
        helper.make_node("MatMul", ["x", "w1"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node("Neg", ["c"], ["y"]),
    ]
    proto = models.model(
        nodes, {"x": ["n", 12]}, ["y"], {"w0": models.floats(12, 9), "w1": models.floats(12, 9, seed=2)}
    )
    found = kinds(compiled_programs(proto, "column", 3, tmp_path)[0])
    assert found == ["scatter", "reduce"]
    assert verify(proto, None, 3, "column").ok


@pytest.mark.parametrize(
    ("strategy", "workers", "message"),
    [
        ("diagonal", 2, _UNKNOWN),
        ("row", 0, "workers: expected a number >= 1, got 0"),
        ("row", -3, "workers: expected a number >= 1, got -3"),
        ("serial", 2, "strategy serial: expected 1 worker, got 2; use batch, row, column or auto"),
    ],
)
def test_request_that_cannot_be_gets_one_line(strategy: str, workers: int, message: str, tmp_path: Path) -> None:
    with pytest.raises(StrategyError) as caught:
        compile_model(models.digits_mlp(), strategy, workers, tmp_path)
    assert str(caught.value) == message


@pytest.mark.parametrize("strategy", ["row", "column", "batch"])
def test_float16_and_float64_models_keep_their_type(strategy: str) -> None:
    for kind, dtype in ((onnx.TensorProto.FLOAT16, np.float16), (onnx.TensorProto.DOUBLE, np.float64)):
        weight = onnx.numpy_helper.from_array(models.floats(6, 9).astype(dtype), "w")
        infos = [helper.make_tensor_value_info(name, kind, ["n", size]) for name, size in (("x", 6), ("y", 9))]
        graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", infos[:1], infos[1:], [weight])
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        inputs = {"x": models.floats(5, 6).astype(dtype)}
        report = verify(proto, inputs, 3, strategy)
        assert report.ok, report.problems
        assert run_split(proto, inputs, 3, strategy)["y"].dtype == dtype


def test_threshold_keeps_dense_weights_dense(tmp_path: Path) -> None:
    proto = models.sparse_chain((80, 80, 80), dense=True)
    dense = compile_model(proto, "row", 2, tmp_path, options=Options(Sparsity(density=0.0))).manifest
    assert max(entry.weight_bytes for entry in dense.ranks) > 2 * 80 * 40 * 4


def test_scales_that_say_a_shape_stay_in_the_graph_though_another_op_reads_them_as_a_weight() -> None:
    nodes = [
        helper.make_node("Resize", ["x", "", "s"], ["a"], mode="nearest"),
        helper.make_node("Mul", ["s", "x"], ["b"]),
        helper.make_node("Resize", ["b", "", "s"], ["c"], mode="nearest"),
        helper.make_node("Add", ["a", "c"], ["y"]),
    ]
    proto = models.model(nodes, {"x": ["n", 3, 4, 4]}, ["y"], {"s": np.array([1, 1, 2, 2], np.float32)})
    for strategy in STRATEGIES:
        report = verify(proto, models.random_inputs(proto, 4), 3, strategy)
        assert report.ok, report.problems
