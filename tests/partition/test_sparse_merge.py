"""The pass "merge rows": equal neurons are computed once, and nothing else changes, not one bit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest

from client.verify import run_split, verify
from partition import Options, compile_model
from partition.sparse.layers import SparseLayer
from partition.sparse.merge import equal_rows, merge_rows
from partition.sparse.weights import from_dense
from tests.partition import models
from zoo.graphchallenge import Options as ChallengeOptions
from zoo.graphchallenge import graphchallenge_1024

SIZES = (40, 36, 48, 30, 40)
MERGED = Options(merge_rows=True)


def network(seed: int, sizes: Sequence[int] = SIZES) -> onnx.ModelProto:
    """Random layers in which some neurons are copies of others, and some of the copies have another bias."""
    rng = np.random.default_rng(seed)
    matrices, biases = [], []
    for number, (inputs, outputs) in enumerate(pairwise(sizes)):
        matrix = models.sparse_matrix(inputs, outputs, 4, seed=seed + number)
        bias = rng.choice(np.array([-0.3, -0.2, 0.0], np.float32), outputs)
        copies = rng.choice(outputs, outputs // 2, replace=False)
        sources = rng.choice(np.setdiff1d(np.arange(outputs), copies), copies.size)
        matrix[:, copies] = matrix[:, sources]
        bias[copies[::2]] = bias[sources[::2]]
        matrices.append(matrix)
        biases.append(bias)
    return models.sparse_layers(matrices, biases)


def inputs(samples: int = 9) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    return models.sparse_inputs(samples)


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("strategy", ["row", "batch"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_same_bits_with_fewer_rows(strategy: str, workers: int, seed: int) -> None:
    proto = network(seed)
    got = run_split(proto, inputs(), workers, strategy, MERGED)["y"]
    np.testing.assert_array_equal(got, run_split(proto, inputs(), workers, strategy)["y"])
    assert got.any()


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("strategy", ["row", "batch", "column", "auto", "pipeline"])
def test_the_model_is_the_same_for_onnxruntime(strategy: str, workers: int) -> None:
    report = verify(network(4), inputs(), workers, strategy, MERGED)
    assert report.ok, report.problems
    assert report.merged["rows"] > 0
    assert report.merged["saved_bytes"] > 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_spreads_as_before(bad: float) -> None:
    proto, x = models.unbounded(network(5)), inputs()
    x["x"][1, 3], x["x"][2, 7], x["x"][4] = bad, bad, 3e38
    for workers in (1, 2, 3):
        want = run_split(proto, x, workers, "batch")["y"]
        np.testing.assert_array_equal(run_split(proto, x, workers, "batch", MERGED)["y"], want)
    assert np.isnan(want).any()


def test_a_rank_that_reads_some_of_several_equal_infinities_has_nan() -> None:
    """The last neuron stores one of two equal inputs: 0 x Inf of the other one is NaN, merged or not."""
    first = np.zeros((2, 4), np.float32)
    first[0] = [1, 1, 0, 1]  # 0, 1 and 3 are equal
    first[1, 2] = 1
    second = np.zeros((4, 3), np.float32)
    second[[0, 1, 3], 0] = 1
    second[[0, 2], 1] = 1
    second[1, 2] = 1
    third = np.eye(3, dtype=np.float32)
    proto = models.unbounded(models.sparse_layers([first, second, third], 0.0))
    x = {"x": np.array([[np.inf, 1], [1, 2]], np.float32)}
    want = run_split(proto, x, 1, "row")["y"]
    np.testing.assert_array_equal(run_split(proto, x, 1, "row", MERGED)["y"], want)
    assert np.isnan(want[0]).all()


def test_neurons_with_another_bias_or_weight_are_not_equal() -> None:
    matrix = np.zeros((3, 5), np.float32)
    matrix[[0, 2]] = 0.5
    matrix[2, 4] = 0.25
    layer = SparseLayer("h", from_dense(matrix), np.array([-1, -1, -0.5, -1, -1], np.float32))
    kept, kind_of = equal_rows(layer)
    assert kept.tolist() == [0, 2, 4]
    assert kind_of.tolist() == [0, 0, 1, 0, 2]


def test_readers_of_equal_neurons_become_equal() -> None:
    first = SparseLayer("a", from_dense(np.ones((2, 3), np.float32)))
    second = SparseLayer("b", from_dense(np.array([[1, 0], [0, 1], [2, 2]], np.float32)))
    merged = merge_rows([first, second], last=True)
    assert [layer.weight.shape for layer in merged.layers] == [(2, 1), (1, 1)]
    assert merged.layers[1].weight.values.tolist() == [1, 2]
    assert merged.layers[1].copies is not None
    assert merged.layers[1].copies.tolist() == [3]
    assert merged.expand is not None
    assert merged.expand.tolist() == [0, 0]
    assert merged.rows == 3


def test_a_chain_whose_last_rows_are_read_in_pieces_keeps_them() -> None:
    layers = [SparseLayer(name, from_dense(np.ones((4, 4), np.float32))) for name in "ab"]
    merged = merge_rows(layers, last=False)
    assert [layer.weight.shape for layer in merged.layers] == [(4, 1), (1, 4)]
    assert merged.expand is None


def test_off_unless_asked_for_and_nothing_to_merge_changes_nothing(tmp_path: Path) -> None:
    plain = compile_model(models.sparse_chain(), "row", 2, tmp_path)
    assert "rows_merged" not in plain.manifest.info
    asked = compile_model(models.sparse_chain(), "row", 2, tmp_path, options=MERGED)
    assert asked.manifest.info["rows_merged"] == 0
    assert asked.manifest.ranks == plain.manifest.ranks


@pytest.mark.parametrize("workers", [1, 3])
def test_sixteen_copies_of_the_challenge_are_one(workers: int, tmp_path: Path) -> None:
    options = ChallengeOptions(layers=9)
    path = graphchallenge_1024.build(options, tmp_path)
    examples = graphchallenge_1024.examples(options, 60)
    want = run_split(path, examples.inputs, workers, "row")["y"]
    report = verify(path, examples.inputs, workers, "row", MERGED)
    assert report.merged["rows"] >= 9 * (1024 - 64)
    np.testing.assert_array_equal(run_split(path, examples.inputs, workers, "row", MERGED)["y"], want)
    assert sum(rank.weight_bytes for rank in report.ranks) < report.model_weight_bytes / (8 if workers == 1 else 3)


def test_what_merging_saves_may_be_computed_on_several_ranks(tmp_path: Path) -> None:
    """Ranks that had one of several equal rows each would else exchange more often than before."""
    path = graphchallenge_1024.build(ChallengeOptions(layers=14), tmp_path)
    plain, merged = (compile_model(path, "row", 8, tmp_path, options=given).manifest.info for given in (None, MERGED))
    assert int(merged["sparse_exchanges"]) <= int(plain["sparse_exchanges"])
    assert int(merged["sparse_rows_sent"]) < int(plain["sparse_rows_sent"]) / 4
