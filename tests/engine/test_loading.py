from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from bundle.errors import MissingKeyError
from bundle.io import asset_key, asset_of, write_bundle
from bundle.manifest import Asset, AssetKind, Manifest, RankEntry, TensorEntry, TensorSpec
from bundle.shard import ShardWriter
from bundle.store import FolderStore
from engine import LoadedRank, Machine, SessionSettings, ShardCache, load_rank, needed_assets
from engine.codec import program_to_json
from engine.errors import KernelError, ProgramError
from engine.program import Exchange, Program, Run
from engine.sessions import build_session
from tests.engine.fleet import FakeChannel, FakeNetwork, on_all_ranks
from zoo.networks.resnet import resnet

Array = NDArray[Any]


def _external(entry: TensorEntry, data_type: int) -> TensorProto:
    tensor = TensorProto(name=entry.name, data_type=data_type, dims=entry.shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": "shard", "offset": entry.offset, "length": entry.nbytes}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def _graph(
    nodes: Sequence[onnx.NodeProto], x: int, y: int, initializers: Sequence[TensorProto] = (), inputs: str = "x"
) -> bytes:
    values = [helper.make_tensor_value_info(name, x, None) for name in inputs]
    graph = helper.make_graph(
        list(nodes), "g", values, [helper.make_tensor_value_info("y", y, None)], list(initializers)
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return bytes(model.SerializeToString())


@dataclass(frozen=True)
class _Compiled:
    """A dense layer whose outputs are split over the ranks."""

    manifest: Manifest
    assets: dict[str, bytes]
    weights: Array
    bias: Array


def _compile(size: int, outputs: int = 7) -> _Compiled:
    rng = np.random.default_rng(size)
    weights, bias = rng.standard_normal((5, outputs)).astype(np.float32), np.arange(outputs, dtype=np.float32)
    assets: dict[str, bytes] = {}
    index: list[Asset] = []
    ranks = []

    def keep(data: bytes, kind: AssetKind) -> str:
        asset = asset_of(data, kind)
        if asset.sha256 not in assets:
            index.append(asset)
        assets[asset.sha256] = data
        return asset.sha256

    for rank in range(size):
        file = io.BytesIO()
        writer = ShardWriter(file)
        entries = (
            writer.add("w", np.array_split(weights, size, axis=1)[rank]),
            writer.add("b", np.array_split(bias, size)[rank]),
        )
        nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Add", ["h", "b"], ["y"])]
        graph = keep(
            _graph(nodes, TensorProto.FLOAT, TensorProto.FLOAT, [_external(e, TensorProto.FLOAT) for e in entries]),
            "graph",
        )
        group = tuple(range(size))
        steps = (
            Exchange(0, "broadcast", "x", "x", group),
            Run(1, "onnx", ("x",), ("part",), graph=graph, weights=("w", "b")),
            Exchange(2, "gather", "part", "y", group, axis=1),
        )
        program = keep(program_to_json(Program(rank, size, steps)), "program")
        ranks.append(RankEntry(rank, program, keep(file.getvalue(), "shard"), (graph,), entries))
    signature = (TensorSpec("x", "float32", ("n", 5)),), (TensorSpec("y", "float32", ("n", outputs)),)
    manifest = Manifest("m", "0" * 64, "row", size, *signature, tuple(index), tuple(ranks))
    return _Compiled(manifest, assets, weights, bias)


def _infer(loaded: list[LoadedRank], x: Array) -> Array:
    network, slots = FakeNetwork(), tuple(range(len(loaded)))

    def work(rank: int) -> dict[str, Array]:
        machine = Machine(loaded[rank], FakeChannel(network, rank), slots)
        return machine.run({"x": x} if rank == 0 else {})

    return on_all_ranks(len(loaded), work, network)[0]["y"]


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


@pytest.mark.parametrize("size", [1, 3, 8])
def test_bundle_of_dense_sub_graphs_runs_from_store_to_answer(store: FolderStore, size: int) -> None:
    compiled = _compile(size)
    write_bundle(store, compiled.manifest, compiled.assets)
    cache = ShardCache(1 << 20)
    loaded = [load_rank(store, compiled.manifest, rank, cache) for rank in range(size)]
    x = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
    np.testing.assert_allclose(_infer(loaded, x), x @ compiled.weights + compiled.bias, rtol=1e-5, atol=1e-5)


def test_warm_process_loads_and_builds_nothing(store: FolderStore) -> None:
    compiled = _compile(2)
    write_bundle(store, compiled.manifest, compiled.assets)
    cache = ShardCache(1 << 20)
    first = load_rank(store, compiled.manifest, 1, cache)
    assert cache.loads == 3
    assert cache.held() == needed_assets(compiled.manifest)[1].keys()
    store.delete(store.list(""))
    assert load_rank(store, compiled.manifest, 1, cache) is first
    assert cache.loads == 3
    with pytest.raises(MissingKeyError):
        load_rank(store, compiled.manifest, 0, cache)


def test_rank_that_was_evicted_is_loaded_again(store: FolderStore) -> None:
    compiled = _compile(2)
    write_bundle(store, compiled.manifest, compiled.assets)
    sizes = needed_assets(compiled.manifest)
    cache = ShardCache(max(sum(rank.values()) for rank in sizes))
    loaded = [load_rank(store, compiled.manifest, rank, cache) for rank in (0, 1, 0)]
    assert loaded[0] is not loaded[2]
    assert cache.loads == 9
    assert cache.held() == set(sizes[0])


def test_needed_assets_name_bytes_by_rank() -> None:
    compiled = _compile(2)
    for entry, needed in zip(compiled.manifest.ranks, needed_assets(compiled.manifest), strict=True):
        assert needed == {sha: len(compiled.assets[sha]) for sha in (entry.program, *entry.graphs, entry.shard)}


def test_rank_that_does_not_exist_or_runs_anothers_program_is_refused(store: FolderStore) -> None:
    compiled = _compile(2)
    ranks = compiled.manifest.ranks
    swapped = replace(
        compiled.manifest, ranks=(ranks[0], replace(ranks[0], rank=1)), assets=compiled.manifest.assets[:3]
    )
    write_bundle(store, swapped, compiled.assets)
    with pytest.raises(ProgramError, match=r"rank: expected one in \[0, 2\), got 2"):
        load_rank(store, swapped, 2, ShardCache(1 << 20))
    with pytest.raises(ProgramError, match="program: expected rank 1 of 2, got 0 of 2"):
        load_rank(store, swapped, 1, ShardCache(1 << 20))


def test_damaged_asset_is_never_kept(store: FolderStore) -> None:
    compiled = _compile(1)
    write_bundle(store, compiled.manifest, compiled.assets)
    shard = compiled.manifest.ranks[0].shard
    store.put(asset_key(compiled.manifest.bundle_id, shard), bytes(len(compiled.assets[shard])))
    cache = ShardCache(1 << 20)
    with pytest.raises(Exception, match=shard):
        load_rank(store, compiled.manifest, 0, cache)
    assert shard not in cache.held()


@pytest.mark.parametrize(
    "settings", [SessionSettings(), SessionSettings(1, prepack=False), SessionSettings(optimize=False)]
)
@pytest.mark.parametrize("by_view", [True, False])
def test_session_takes_its_weights_from_memory(settings: SessionSettings, by_view: bool) -> None:
    file = io.BytesIO()
    entry = ShardWriter(file).add("w", np.arange(6, dtype=np.float32).reshape(2, 3))
    shard = memoryview(file.getvalue())
    graph = _graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], TensorProto.FLOAT, TensorProto.FLOAT, [_external(entry, 1)]
    )
    view = np.frombuffer(shard, np.float32, 6).reshape(2, 3)
    session = build_session(graph, {"w": view} if by_view else {}, shard, settings)
    assert session.run([np.ones((1, 2), np.float32)], "here")[0].tolist() == [[3, 5, 7]]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_session_holds_no_second_copy_of_its_weights(tmp_path: Path) -> None:
    size = 4096  # 64 MB of weights
    np.zeros((size, size), np.float32).tofile(tmp_path / "shard")
    entry = TensorEntry("w", "float32", (size, size), 0, size * size * 4)
    nodes = [helper.make_node("Mul", ["x", "w"], ["z"]), helper.make_node("ReduceSum", ["z"], ["y"])]
    (tmp_path / "graph").write_bytes(_graph(nodes, TensorProto.FLOAT, TensorProto.FLOAT, [_external(entry, 1)]))
    script = """
import mmap, sys, numpy as np
from engine.sessions import SessionSettings, build_session
def anonymous():
    return sum(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("RssAnon"))
folder, size = sys.argv[1], int(sys.argv[2])
file = open(folder + "/shard", "rb")
shard = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
view = np.frombuffer(shard, np.float32).reshape(size, size)
before = anonymous()
session = build_session(open(folder + "/graph", "rb").read(), {"w": view}, shard, SessionSettings(prepack=False))
print(anonymous() - before)
"""
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    answer = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), str(size)], capture_output=True, text=True, env=environment
    )
    assert answer.returncode == 0, answer.stderr
    assert int(answer.stdout) < entry.nbytes // 4


@pytest.mark.parametrize(("name", "number"), [("bfloat16", TensorProto.BFLOAT16), ("float8_e4m3fn", 17)])
def test_types_that_numpy_lacks_go_in_and_out_of_sessions(name: str, number: int) -> None:
    dtype = np.dtype(getattr(ml_dtypes, name))
    narrow = _graph([helper.make_node("Cast", ["x"], ["y"], to=number)], TensorProto.FLOAT, number)
    wide = _graph([helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)], number, TensorProto.FLOAT)
    x = np.array([[0, 1.5], [-2, 3]], np.float32)
    middle = build_session(narrow, {}, memoryview(b"")).run([x], "here")[0]
    assert middle.dtype == dtype
    assert build_session(wide, {}, memoryview(b"")).run([middle], "here")[0].tolist() == x.tolist()


def test_weights_that_are_packed_are_cut_out_of_the_shard_by_onnxruntime(store: FolderStore) -> None:
    file = io.BytesIO()
    writer = ShardWriter(file)
    writer.add("pad", np.zeros(3))
    entry = writer.add_chunks("q", "int4", (4,), [b"\x21\xf3"])
    nodes = [
        helper.make_node("Cast", ["q"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "f"], ["y"]),
    ]
    graph = _graph(nodes, TensorProto.FLOAT, TensorProto.FLOAT, [_external(entry, TensorProto.INT4)])
    run = Run(0, "onnx", ("x",), ("y",), graph=asset_of(graph, "graph").sha256, weights=("q",))
    blobs: dict[AssetKind, bytes] = {
        "program": program_to_json(Program(0, 1, (run,))),
        "graph": graph,
        "shard": file.getvalue(),
    }
    listed = [asset_of(blob, kind) for kind, blob in blobs.items()]
    rank = RankEntry(0, listed[0].sha256, listed[2].sha256, (listed[1].sha256,), writer.finish().entries)
    manifest = Manifest(
        "m", "0" * 64, "serial", 1, (), (TensorSpec("y", "float32", (4,)),), tuple(listed), (rank,)
    )  # fmt: skip
    write_bundle(store, manifest, {asset_of(blob, kind).sha256: blob for kind, blob in blobs.items()})
    loaded = load_rank(store, manifest, 0, ShardCache(1 << 20))
    assert _infer([loaded], np.ones(4, np.float32)).tolist() == [1, 2, 3, -1]


def test_strings_go_through_sessions() -> None:
    graph = _graph([helper.make_node("Identity", ["x"], ["y"])], TensorProto.STRING, TensorProto.STRING)
    answer = build_session(graph, {}, memoryview(b"")).run([np.array(["a", "é"], object)], "here")
    assert answer[0].tolist() == ["a", "é"]


def test_inputs_are_matched_by_position() -> None:
    graph = _graph([helper.make_node("Sub", ["a", "b"], ["y"])], TensorProto.FLOAT, TensorProto.FLOAT, inputs="ab")
    session = build_session(graph, {}, memoryview(b""))
    assert session.run([np.full(1, 3, np.float32), np.ones(1, np.float32)], "here")[0].tolist() == [2]
    with pytest.raises(KernelError, match="here: expected 2 inputs, got 1"):
        session.run([np.zeros(1, np.float32)], "here")


def test_what_onnxruntime_refuses_is_one_typed_line() -> None:
    with pytest.raises(ProgramError, match="sub-graph: onnxruntime: ") as refused:
        build_session(b"no model", {}, memoryview(b""))
    graph = _graph([helper.make_node("Identity", ["x"], ["y"])], TensorProto.FLOAT, TensorProto.FLOAT)
    with pytest.raises(KernelError, match="step 3 onnx: onnxruntime: ") as failed:
        build_session(graph, {}, memoryview(b"")).run([np.zeros(2, np.int64)], "step 3 onnx")
    assert "\n" not in f"{refused.value}{failed.value}"


def test_engine_imports_no_onnx_and_no_onnxruntime_until_a_session_is_built() -> None:
    script = "import sys, engine; print(sorted({'onnx', 'onnxruntime', 'boto3'} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_a_batch_without_samples_passes_convolutions_that_have_blocked_layouts() -> None:
    graph = resnet.graph(resnet.parse({"width": 8, "blocks": 1, "classes": 16}))
    session = build_session(graph.SerializeToString(), {}, memoryview(b""))
    for batch in (0, 1, 0):
        (logits,) = session.run([np.zeros((batch, 3, 48, 48), np.float32)], "x")
        assert logits.shape == (batch, 16)
