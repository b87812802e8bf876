"""The card graphchallenge-1024: contract, graph, options, and truth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
import pytest

from zoo import DataError, TooLarge
from zoo.graphchallenge import Options, export, graphchallenge_1024, graphchallenge_4096, network
from zoo.testing import CardContract, contents, run

OFFICIAL = Path(__file__).parents[3] / "shared" / "data" / "graphchallenge"
needs_official = pytest.mark.skipif(not OFFICIAL.is_dir(), reason="the official files are not in ../shared/data")


class TestGenerated(CardContract):
    """Generated, sparse, into the second block."""

    card = graphchallenge_1024
    given: ClassVar[Mapping[str, object]] = {"layers": 8}
    count = 100


class TestDense(CardContract):
    """Generated, dense."""

    card = graphchallenge_1024
    given: ClassVar[Mapping[str, object]] = {"layers": "3", "dense": "true"}
    count = 20


@needs_official
class TestOfficialFewLayers(CardContract):
    """The official files, cut off after a few layers: no published truth."""

    card = graphchallenge_1024
    given: ClassVar[Mapping[str, object]] = {"layers": 7, "data": str(OFFICIAL)}
    count = 100


class TestControl(CardContract):
    """Random connections and weights."""

    card = graphchallenge_1024
    given: ClassVar[Mapping[str, object]] = {"layers": 3, "control": True}
    count = 20


class TestLarger(CardContract):
    """Into the second block."""

    card = graphchallenge_4096
    given: ClassVar[Mapping[str, object]] = {"layers": 2}
    count = 20


@needs_official
def test_official_network_leaves_the_published_samples_alive() -> None:
    from zoo.graphchallenge import reference

    options = Options(data=OFFICIAL)
    examples = graphchallenge_1024.examples(options, 1000)
    y = reference.run(graphchallenge_1024.network(options), np.asarray(examples.inputs["x"]))
    verdict = graphchallenge_1024.check({"y": y}, examples)
    assert verdict.ok, verdict.text
    assert 0 < examples.truth["alive"].sum() < 1000


@needs_official
def test_published_truth_has_337_of_the_10000_official_samples() -> None:
    examples = graphchallenge_1024.examples(Options(data=OFFICIAL), 10_000)
    assert examples.truth["alive"].sum() == 337
    assert set(np.unique(examples.inputs["x"])) == {0, 1}


@needs_official
def test_asking_for_more_than_the_official_samples_is_refused() -> None:
    with pytest.raises(DataError, match="expected at least 10001 samples, got 10000"):
        graphchallenge_1024.examples(Options(data=OFFICIAL), 10_001)


@needs_official
def test_asking_for_more_than_the_official_layers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected at least 121 layers, got 120"):
        graphchallenge_1024.build(Options(layers=121, data=OFFICIAL), tmp_path)


def test_sparse_and_dense_models_hold_the_same_weights(tmp_path: Path) -> None:
    sparse = onnx.load(graphchallenge_1024.build(Options(layers=2), tmp_path / "sparse")).graph
    dense = onnx.load(graphchallenge_1024.build(Options(layers=2, dense=True), tmp_path / "dense")).graph
    for weight in sparse.sparse_initializer:
        full = next(tensor for tensor in dense.initializer if tensor.name == weight.values.name)
        flat = np.zeros(np.prod(weight.dims), np.float32)
        flat[onnx.numpy_helper.to_array(weight.indices)] = onnx.numpy_helper.to_array(weight.values)
        np.testing.assert_array_equal(flat.reshape(weight.dims), onnx.numpy_helper.to_array(full))


def test_weight_j_i_leads_from_neuron_j_to_neuron_i(tmp_path: Path) -> None:
    graph = onnx.load(graphchallenge_1024.build(Options(layers=7, dense=True), tmp_path)).graph
    weight = next(onnx.numpy_helper.to_array(t) for t in graph.initializer if t.name == "layer6.weight")
    reads = network.generate(1024, 7, seed=0).reads(6)
    for i in (0, 1, 1023):
        np.testing.assert_array_equal(np.flatnonzero(weight[:, i]), reads[i])


def test_graph_is_matmul_add_clip_per_layer(tmp_path: Path) -> None:
    graph = onnx.load(graphchallenge_1024.build(Options(layers=3), tmp_path)).graph
    assert [node.op_type for node in graph.node] == ["MatMul", "Add", "Clip"] * 3
    assert len(graph.sparse_initializer) == 3
    samples, features = graph.input[0].type.tensor_type.shape.dim
    assert (samples.dim_param, features.dim_value) == ("samples", 1024)


def test_another_seed_gives_another_network_and_other_inputs(tmp_path: Path) -> None:
    for seed in (0, 1):
        graphchallenge_1024.build(Options(layers=7, seed=seed), tmp_path / str(seed))
    assert contents(tmp_path / "0") != contents(tmp_path / "1")
    x0, x1 = (graphchallenge_1024.examples(Options(layers=1, seed=s), 5).inputs["x"] for s in (0, 1))
    assert (x0 != x1).any()


def test_large_dense_weights_go_to_external_data_with_the_same_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = Options(layers=2, dense=True)
    inside = graphchallenge_1024.build(options, tmp_path / "inside")
    monkeypatch.setattr(export, "ONE_FILE_BYTES", 1 << 22)
    outside = graphchallenge_1024.build(options, tmp_path / "outside")
    assert set(contents(outside.parent)) == {"graphchallenge-1024.onnx", "graphchallenge-1024.onnx.data"}
    assert outside.stat().st_size < 1 << 16
    onnx.checker.check_model(outside)
    examples = graphchallenge_1024.examples(options, 10)
    np.testing.assert_array_equal(run(inside, examples)["y"], run(outside, examples)["y"])


def test_large_sparse_weights_go_to_external_data_with_the_same_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = graphchallenge_1024.build(Options(layers=8), tmp_path / "inside")
    monkeypatch.setattr(export, "ONE_FILE_BYTES", 1 << 20)
    outside = graphchallenge_1024.build(Options(layers=8), tmp_path / "outside")
    assert outside.stat().st_size < 1 << 17
    for a, b in zip(
        onnx.load(inside).graph.sparse_initializer, onnx.load(outside).graph.sparse_initializer, strict=True
    ):
        for one, other in ((a.values, b.values), (a.indices, b.indices)):
            arrays = [onnx.numpy_helper.to_array(tensor, str(outside.parent)) for tensor in (one, other)]
            np.testing.assert_array_equal(arrays[0], arrays[1])


def test_more_weights_than_the_disk_holds_are_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match="free disk space"):
        graphchallenge_1024.build(Options(layers=10**12, dense=True), tmp_path)
    assert not contents(tmp_path)


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 broken", b"\x93NUMPY"])
def test_missing_or_damaged_official_file_is_named_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "neuron1024-l120-weights.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"expected an \.npz file") as error:
        graphchallenge_1024.build(Options(data=tmp_path), tmp_path / "out")
    assert str(error.value).isprintable()


def test_official_file_whose_neurons_do_not_exist_is_refused(tmp_path: Path) -> None:
    reads = np.full((1, 1024, 32), 1024, np.uint16)
    np.savez(tmp_path / "neuron1024-l120-weights.npz", in_neurons=reads, value=1 / 16, bias=-0.3, ymax=32.0)
    with pytest.raises(DataError, match="expected neurons from 0 to 1023, got 1024 to 1024"):
        graphchallenge_1024.build(Options(layers=1, data=tmp_path), tmp_path)


def test_check_counts_samples_that_live_where_they_should_not() -> None:
    examples = graphchallenge_1024.examples(Options(layers=8), 50)
    y = np.array(examples.truth["y"])
    dead = np.flatnonzero(~y.any(axis=1))[:3]
    y[dead, 7] = 1
    verdict = graphchallenge_1024.check({"y": y}, examples)
    assert (verdict.right, verdict.total, verdict.ok) == (50 - len(dead), 50, False)
    assert len(dead) == 3


def test_check_counts_samples_whose_values_are_off() -> None:
    examples = graphchallenge_1024.examples(Options(layers=8), 50)
    y = np.array(examples.truth["y"])
    y[y > 1] += 0.1
    assert not graphchallenge_1024.check({"y": y}, examples).ok
