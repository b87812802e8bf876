"""Chains of sparse layers: found, kept sparse, divided every way, and equal to the dense model."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from client.verify import reference, run_split, verify
from engine.codec import program_from_json
from engine.program import Exchange, Run
from partition import InvalidModelError, Options, compile_model
from partition.compile import lay_out, prepare
from partition.sparse.assignment import contiguous
from partition.sparse.layers import SparseLayer, inputs_read, outputs_fed, part_of
from partition.sparse.maps import row_maps, rows_sent
from partition.sparse.parts import chain_part
from partition.sparse.weights import from_coordinates, from_dense, stored_values, take_sparse
from tests.partition import models
from zoo.graphchallenge import Options as ChallengeOptions
from zoo.graphchallenge import graphchallenge_1024

STRATEGIES = ("batch", "row", "column", "auto")


@pytest.mark.parametrize("workers", [1, 2, 3, 8, 50])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_six_layers_equal_the_dense_model(strategy: str, workers: int) -> None:
    report = verify(models.sparse_chain(), models.sparse_inputs(12), workers, strategy)
    assert report.ok, report.problems


@pytest.mark.parametrize("strategy", ["batch", "row", "column"])
@pytest.mark.parametrize("samples", [1, 2])
def test_fewer_samples_than_ranks(strategy: str, samples: int) -> None:
    report = verify(models.sparse_chain(), models.sparse_inputs(samples, dead=1), 3, strategy)
    assert report.ok, report.problems


@pytest.mark.parametrize("strategy", ["batch", "row", "column"])
def test_positive_bias_revives_samples_of_zeros(strategy: str) -> None:
    proto = models.sparse_chain(bias=0.2)
    inputs = {"x": np.zeros((5, 40), np.float32)}
    report = verify(proto, inputs, 3, strategy)
    assert report.ok, report.problems
    assert run_split(proto, inputs, 3, strategy)["y"].all()


@pytest.mark.parametrize("strategy", ["batch", "row", "column"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_sample_does_not_touch_the_others(strategy: str, bad: float) -> None:
    proto = models.sparse_chain()
    inputs = models.sparse_inputs(7)
    want = reference(proto, inputs)["y"]
    inputs["x"][3, 5] = bad
    got = run_split(proto, inputs, 3, strategy)["y"]
    others = np.arange(7) != 3
    np.testing.assert_allclose(got[others], want[others], atol=1e-5)
    assert not np.isfinite(got[3]).all() or (got[3] == 32).any()


@pytest.mark.parametrize("strategy", ["row", "column"])
def test_what_is_not_finite_in_a_request_spreads_as_in_the_whole_network(strategy: str) -> None:
    """Of blocks, ranks exchange nothing between layers; of the other network, they do."""
    apart = models.unbounded(models.sparse_layers(models.sparse_blocks(2)))
    mixed = models.sparse_layers([models.sparse_matrix(32, 32, 4, seed) for seed in range(3)])
    inputs, bad = models.sparse_inputs(7, 32), [1, 3, 4]
    inputs["x"][bad, [5, 20, 31]] = np.nan, np.inf, -np.inf
    for proto, workers in ((apart, 2), (mixed, 3)):
        want = reference(proto, inputs)["y"]
        np.testing.assert_allclose(run_split(proto, inputs, workers, strategy)["y"], want, rtol=1e-5)
        assert np.isnan(want).all(axis=1).tolist() == [sample in bad for sample in range(7)]


@pytest.mark.parametrize("strategy", ["row", "column"])
def test_overflow_stays_in_the_block_whose_ranks_exchange_nothing_with_others(strategy: str) -> None:
    """The whole network has NaN in both: docs/adr/0019 says why two ranks do not."""
    proto = models.unbounded(models.sparse_layers(models.sparse_blocks(2)))
    inputs = models.sparse_inputs(6, 32)
    apart = reference(proto, inputs)["y"]
    inputs["x"][3, :16] = 3.4e38
    assert np.isnan(reference(proto, inputs)["y"][3]).all()
    got = run_split(proto, inputs, 2, strategy)["y"]
    assert np.isnan(got[3, :16]).all()
    apart[3, :16] = np.nan
    np.testing.assert_allclose(got, apart, rtol=1e-5)


@pytest.mark.parametrize("strategy", ["row", "column", "batch"])
def test_two_dimensional_indices_mean_the_same(strategy: str) -> None:
    report = verify(models.sparse_chain(linear=False), models.sparse_inputs(6), 3, strategy)
    assert report.ok, report.problems


@pytest.mark.parametrize("strategy", ["row", "column", "batch"])
def test_sparse_chain_between_dense_layers(strategy: str) -> None:
    matrices = [models.sparse_matrix(30, 30, 3, seed) for seed in range(2)]
    nodes = [
        helper.make_node("MatMul", ["x", "d0"], ["a"]),
        helper.make_node("MatMul", ["a", "w0"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("MatMul", ["c", "w1"], ["d"]),
        helper.make_node("Add", ["bias", "d"], ["e"]),
        helper.make_node("Sigmoid", ["e"], ["f"]),
        helper.make_node("MatMul", ["f", "d1"], ["y"]),
    ]
    weights = {"d0": models.floats(9, 30), "d1": models.floats(30, 8), "bias": models.floats(30)}
    sparse = [models.sparse_initializer(f"w{i}", matrix) for i, matrix in enumerate(matrices)]
    proto = models.model(nodes, {"x": ["n", 9]}, ["y", "c"], weights, sparse_initializer=sparse)
    for workers in (2, 3, 5):
        report = verify(proto, models.random_inputs(proto, 6), workers, strategy)
        assert report.ok, report.problems


def test_chain_is_one_op_of_six_layers() -> None:
    prepared = prepare(models.sparse_chain(), Options())
    (layers,) = prepared.layers.values()
    assert len(prepared.graph.ops) == 1
    assert [layer.weight.nnz for layer in layers] == [4 * n for n in (40, 33, 40, 25, 40, 40)]
    assert all(layer.zero_preserving and layer.high == 32 for layer in layers)


def test_value_that_is_also_an_output_ends_a_chain() -> None:
    proto = models.sparse_chain((20, 20, 20))
    proto.graph.output.append(helper.make_tensor_value_info("h0", onnx.TensorProto.FLOAT, None))
    assert sorted(len(layers) for layers in prepare(proto, Options()).layers.values()) == [1, 1]
    assert verify(proto, models.sparse_inputs(5, 20), 3, "row").ok


def test_sparse_weight_of_another_op_is_made_dense() -> None:
    sparse = [models.sparse_initializer("w", models.sparse_matrix(8, 8, 2, 0))]
    nodes = [helper.make_node("Transpose", ["w"], ["t"]), helper.make_node("MatMul", ["x", "t"], ["y"])]
    proto = models.model(nodes, {"x": ["n", 8]}, ["y"], sparse_initializer=sparse)
    assert prepare(proto, Options()).layers == {}
    assert verify(proto, None, 2, "row").ok


def test_dense_weights_of_few_non_zeros_become_sparse() -> None:
    prepared = prepare(models.sparse_chain((80, 80, 80), dense=True), Options())
    assert [len(layers) for layers in prepared.layers.values()] == [2]


def test_dense_weights_of_many_non_zeros_stay_dense() -> None:
    proto = models.model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": ["n", 80]}, ["y"], {"w": models.floats(80, 80)}
    )
    assert prepare(proto, Options()).layers == {}


def test_rows_travel_only_where_they_are_read(tmp_path: Path) -> None:
    block = np.kron(np.eye(2), np.ones((20, 20))).astype(np.float32)  # two halves that never meet
    sparse = [models.sparse_initializer(f"w{i}", block) for i in range(3)]
    nodes = [helper.make_node("MatMul", [f"h{i}", f"w{i}"], [f"h{i + 1}"]) for i in range(3)]
    proto = models.model(nodes, {"h0": ["n", 40]}, ["h3"], sparse_initializer=sparse)
    compiled = compile_model(proto, "row", 2, tmp_path)
    report = verify(proto, {"h0": models.floats(6, 40)}, 2, "row")
    assert report.ok, report.problems
    assert report.exchanges == {"rows": 2}  # the input to who reads it and the output back: none between the layers
    assert {name: compiled.manifest.info[f"sparse_{name}"] for name in ("boundaries", "exchanges", "rows_sent")} == {
        "boundaries": 2,
        "exchanges": 0,
        "rows_sent": 0,
    }
    data = compiled.assets[compiled.manifest.ranks[0].program]
    assert isinstance(data, bytes)
    exchanges = [i for i in program_from_json(data).instructions if isinstance(i, Exchange)]
    shapes = {entry.name: entry.shape for entry in compiled.manifest.ranks[0].tensors}
    assert [shapes[f"{exchange.maps}.send_rows"] for exchange in exchanges] == [(40,), (20,)]
    assert [exchange.rows for exchange in exchanges] == [20, 40]


def test_bias_of_one_value_is_a_number_not_a_tensor(tmp_path: Path) -> None:
    compiled = compile_model(models.sparse_chain(), "row", 2, tmp_path)
    data = compiled.assets[compiled.manifest.ranks[0].program]
    assert isinstance(data, bytes)
    layers = [i for i in program_from_json(data).instructions if isinstance(i, Run) and i.kernel == "sparse_layer"]
    assert [np.float32(layer.attributes["bias"]) for layer in layers] == [np.float32(-0.3)] * 6  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bias", "low", "high", "expected"),
    [
        (None, -math.inf, math.inf, True),
        (None, 0.0, 32.0, True),
        (None, 0.5, 32.0, False),
        ([-1.0, 0.0], 0.0, 32.0, True),
        ([-1.0, 0.1], 0.0, 32.0, False),
        ([-1.0, 0.0], -math.inf, 32.0, False),
        ([1.0, 1.0], 0.0, 0.0, True),
        ([-1.0, math.nan], 0.0, 32.0, False),
    ],
)
def test_zero_preserving_is_exact(bias: list[float] | None, low: float, high: float, expected: bool) -> None:
    weight = from_dense(np.ones((3, 2), np.float32))
    values = None if bias is None else np.array(bias, np.float32)
    assert SparseLayer("l", weight, values, low, high).zero_preserving is expected


def test_parts_of_a_weight_make_up_the_whole() -> None:
    matrix = models.sparse_matrix(11, 7, 3, seed=5)
    weight = from_dense(matrix)
    np.testing.assert_array_equal(weight.dense(), matrix)
    total = np.zeros_like(matrix)
    for outputs in contiguous(7, 3):
        for inputs in contiguous(11, 2):
            part = part_of(weight, outputs, inputs)
            values = np.broadcast_to(part.values, part.indices.shape)
            for i, output in enumerate(outputs):
                entries = slice(part.indptr[i], part.indptr[i + 1])
                total[inputs[part.indices[entries]], output] += values[entries]
    np.testing.assert_array_equal(total, matrix)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([2.0, 2.0, 2.0], [2.0]),
        ([2.0], [2.0]),
        ([2.0, 2.0, 3.0], [2.0, 2.0, 3.0]),
        ([np.nan, np.nan], [np.nan, np.nan]),
        ([], []),
    ],
)
def test_values_are_stored_once_where_all_are_the_same(values: list[float], expected: list[float]) -> None:
    np.testing.assert_array_equal(stored_values(np.array(values, np.float32)), np.array(expected, np.float32))


@pytest.mark.parametrize("inputs", [65536, 65537])
def test_columns_take_16_bits_where_they_fit_and_the_size_is_known_before(inputs: int) -> None:
    rows, columns = np.array([0, inputs - 1, 7]), np.array([0, 0, 1])
    weight = from_coordinates((inputs, 2), rows, columns, np.full(3, 0.5, np.float32))
    part = part_of(weight, np.arange(2, dtype=np.int32), np.arange(inputs, dtype=np.int32))
    assert part.indices.dtype == (np.uint16 if inputs == 65536 else np.int32)
    assert part.indices.tolist() == rows.tolist()
    assert weight.nbytes == part.indptr.nbytes + part.indices.nbytes + part.values.nbytes
    some = part_of(weight, np.arange(2, dtype=np.int32), np.array([7, inputs - 1], np.int32))
    assert some.indices.dtype == np.uint16
    assert some.indices.tolist() == [1, 0]


def test_neurons_read_and_fed_are_those_of_the_matrix() -> None:
    matrix = models.sparse_matrix(11, 7, 2, seed=6)
    weight = from_dense(matrix)
    rows = np.array([1, 4], np.int32)
    np.testing.assert_array_equal(inputs_read(weight, rows), np.flatnonzero(matrix[:, rows].any(1)))
    np.testing.assert_array_equal(outputs_fed(weight, rows), np.flatnonzero(matrix[rows].any(0)))


def test_row_maps_bring_every_wanted_row_to_its_place() -> None:
    held = tuple(np.array(rows, np.int32) for rows in ([0, 3, 4], [1, 2, 5]))
    wanted = tuple(np.array(rows, np.int32) for rows in ([1, 3], [0, 4, 5]))
    maps = [row_maps(held, wanted, rank) for rank in range(2)]
    for target in range(2):
        got = np.full(maps[target].rows, -1)
        for source in range(2):
            sent = maps[source].send_rows[slice(*maps[source].send_ptr[target : target + 2])]
            places = maps[target].recv_rows[slice(*maps[target].recv_ptr[source : source + 2])]
            got[places] = held[source][sent]
        np.testing.assert_array_equal(got, wanted[target])
    assert rows_sent(held, wanted) == 3


def test_rows_that_come_but_are_not_read_have_no_place() -> None:
    held = tuple(np.array(rows, np.int32) for rows in ([0, 3, 4], [1, 2, 5]))
    wanted = tuple(np.array(rows, np.int32) for rows in ([1, 3], [0, 4, 5]))
    maps = row_maps(held, wanted, 1, kept=np.array([4, 5], np.int32))
    assert maps.rows == 2
    assert maps.recv_rows.tolist() == [-1, 0, 1]
    assert maps.recv_ptr.tolist() == [0, 2, 3]


def test_a_rank_holds_no_more_of_a_shared_message_than_it_reads(tmp_path: Path) -> None:
    """Equal neurons make one message for all ranks the cheapest; most of it is read by nobody in particular."""
    prepared = prepare(graphchallenge_1024.build(ChallengeOptions(layers=12), tmp_path), Options())
    _, layout = lay_out(prepared, "row", 8, Options())
    (plan,) = (chain for part in layout.places for chain in part.chains.values())
    (first, *_) = (number for number, travels in enumerate(plan.exchanges) if number and travels)
    assert sum(map(len, plan.reads[first])) < sum(map(len, plan.wanted[first]))
    for rank in range(8):
        exchanges = [one for one in chain_part(plan, rank).instructions if isinstance(one, Exchange)]
        assert [one.rows for one in exchanges if one.input.endswith(f"own{first}")] == [plan.reads[first][rank].size]


def test_sparse_weights_leave_a_typed_placeholder_and_no_non_zero_is_lost() -> None:
    proto = models.sparse_chain((10, 12))
    stored = len(proto.graph.sparse_initializer[0].values.float_data) or 4 * 12
    table = take_sparse(proto, None)
    assert [weight.nnz for weight in table.values()] == [stored]
    assert not proto.graph.sparse_initializer
    assert "w0" in [value.name for value in proto.graph.input]


@pytest.mark.parametrize("places", [[0, 1, 400], [0, 1, -1], [0, 1, 1], [0, 1]])
def test_malformed_sparse_initializer_is_refused(places: list[int]) -> None:
    proto = models.sparse_chain((10, 12))
    values = onnx.numpy_helper.from_array(np.ones(3, np.float32), "w0")
    indices = onnx.numpy_helper.from_array(np.array(places), "i")
    bad = onnx.SparseTensorProto(values=values, indices=indices, dims=[10, 12])
    proto.graph.sparse_initializer[0].CopyFrom(bad)
    with pytest.raises(InvalidModelError, match="sparse initializer"):
        prepare(proto, Options())
