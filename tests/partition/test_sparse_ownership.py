"""Who owns which neurons: balanced, the same every time, and so that few rows travel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from client.verify import verify
from partition import compile_model
from partition.sparse import greedy, mtkahypar, ownership
from partition.sparse.assignment import Fixed, Owned, contiguous_layers, random_layers
from partition.sparse.greedy import components, grown, whole_components
from partition.sparse.hypergraph import LayerGraph, layer_graph
from partition.sparse.layers import inputs_read
from partition.sparse.maps import rows_sent
from partition.sparse.matching import best_matching
from partition.sparse.ownership import partitioned_layers, partitioner_name
from partition.sparse.runs import Tolerated
from partition.sparse.weights import SparseWeight, from_coordinates, from_dense
from tests.partition import models

NEURONS = 256
SHIFTS = (1, 2, 4, 8)
FREE = Fixed(input=False, output=False)
ALONE = Tolerated(recompute=0.0, layers=1)  # an exchange before every layer


def ring(shift: int, read_as: NDArray[np.int64] | None = None) -> SparseWeight:
    """Neuron (a, b) reads all (a', b) and (a', b + shift), b modulo 16; `read_as` renames what is read."""
    classes = np.arange(NEURONS) % 16
    reads = (classes[:, None] == classes[None]) | (classes[:, None] == (classes[None] + shift) % 16)
    rows, columns = np.nonzero(reads)
    rows = rows if read_as is None else read_as[rows]
    return from_coordinates((NEURONS, NEURONS), rows, columns, np.ones(rows.size, np.float32))


def blocks() -> list[SparseWeight]:
    """Two blocks of layers; what the second one reads is shuffled."""
    shuffle = np.random.default_rng(3).permutation(NEURONS)
    return [ring(shift) for shift in SHIFTS] + [ring(shift, shuffle) for shift in SHIFTS]


def travelling(weights: list[SparseWeight], owned: tuple[Owned, ...]) -> list[int]:
    """Rows sent before each layer."""
    read = [tuple(inputs_read(w, rows) for rows in o) for w, o in zip(weights, owned[1:], strict=True)]
    return [rows_sent(*pair) for pair in zip(owned[:-1], read, strict=True)]


@pytest.fixture(params=["mtkahypar", "greedy"])
def partitioner(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "greedy":
        monkeypatch.setattr(mtkahypar, "version", lambda: None)
    elif mtkahypar.version() is None:
        pytest.skip("mtkahypar is not installed")
    return str(request.param)


@pytest.mark.parametrize("workers", [2, 3, 8, 62])
def test_every_neuron_has_one_owner_and_work_is_balanced(partitioner: str, workers: int) -> None:
    weights = blocks()
    for weight, owned in zip(weights, partitioned_layers(weights, workers, FREE, ALONE)[1:], strict=True):
        np.testing.assert_array_equal(np.sort(np.concatenate(owned)), np.arange(NEURONS))
        work = [int(np.diff(weight.indptr)[rows].sum()) for rows in owned]
        heaviest_neuron = int(np.diff(weight.indptr).max())
        assert max(work) <= max(1.05 * sum(work) / workers, sum(work) / workers + heaviest_neuron), partitioner


@pytest.mark.parametrize("workers", [2, 4, 5])
def test_fewer_rows_travel_than_contiguously_or_at_random(partitioner: str, workers: int) -> None:
    weights = blocks()
    sent = sum(travelling(weights, partitioned_layers(weights, workers, FREE, ALONE)))
    assert sent < 0.7 * sum(travelling(weights, contiguous_layers(weights, workers, FREE))), partitioner
    assert sent < 0.7 * sum(travelling(weights, random_layers(weights, workers, FREE))), partitioner


def test_layers_of_components_exchange_nothing_where_their_inputs_are_owned_so(partitioner: str) -> None:
    weights = [ring(4), ring(4), ring(8), ring(8)]
    assert travelling(weights, partitioned_layers(weights, 4, FREE, ALONE))[1:] == [0, 0, 0], partitioner


def test_result_is_the_same_every_time(partitioner: str) -> None:
    first, second = (partitioned_layers(blocks(), 5, FREE) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert [rows.tolist() for rows in a] == [rows.tolist() for rows in b], partitioner


def test_layers_of_one_structure_are_divided_once(monkeypatch: pytest.MonkeyPatch) -> None:
    divided: list[bytes] = []
    original = ownership._divided

    def noting(graph: LayerGraph, parts: int, asked: bool) -> NDArray[np.int32]:
        divided.append(graph.key)
        return original(graph, parts, asked)

    monkeypatch.setattr(ownership, "_divided", noting)
    partitioned_layers(blocks(), 4, FREE)
    assert len(divided) == len(SHIFTS)


@pytest.mark.parametrize("workers", [1, 2, 30, 62])
def test_more_ranks_than_neurons_are_served(partitioner: str, workers: int) -> None:
    weights = [from_dense(models.sparse_matrix(30, 7, 3, 0)), from_dense(models.sparse_matrix(7, 30, 2, 1))]
    owned = partitioned_layers(weights, workers, FREE, ALONE)
    assert [sum(rows.size for rows in layer) for layer in owned] == [30, 7, 30], partitioner


def test_layer_without_weights_is_divided_nevertheless(partitioner: str) -> None:
    weights = [from_dense(np.zeros((8, 12), np.float32))]
    assert [rows.size for rows in partitioned_layers(weights, 3, FREE)[1]] == [4, 4, 4], partitioner


def test_graph_joins_equal_neurons_up_to_a_twentieth_of_a_part() -> None:
    graph = layer_graph(ring(1), 2)
    assert graph.units == 48  # 16 classes of 16 neurons, at most 6 in a unit
    assert graph.work.max() <= 0.05 * graph.work.sum() / 2
    assert graph.net_rows.sum() == NEURONS
    assert layer_graph(ring(1, np.random.default_rng(0).permutation(NEURONS)), 2).key == graph.key
    assert layer_graph(ring(2), 2).key != graph.key


@pytest.mark.parametrize(("shift", "count"), [(1, 1), (2, 2), (4, 4), (8, 8)])
def test_components_are_those_of_the_graph(shift: int, count: int) -> None:
    graph = layer_graph(ring(shift), 2)
    assert components(graph).max() + 1 == count
    assert (whole_components(graph, 4) is None) == (count < 4)


def test_components_that_do_not_balance_are_not_kept_whole() -> None:
    weight = from_dense(
        np.kron(np.diag([1, 0, 0]), np.ones((20, 20))).astype(np.float32) + np.eye(60, dtype=np.float32)
    )
    assert whole_components(layer_graph(weight, 2), 2) is None


def test_grown_part_follows_what_is_read_together() -> None:
    graph = layer_graph(ring(8), 8)
    component = components(graph)
    for part in range(8):
        assert np.unique(component[grown(graph, 8) == part]).size == 1


@pytest.mark.parametrize(("pins", "asked"), [(0, 0), (700, 1), (1500, 2), (1 << 20, 4)])
def test_large_graphs_of_a_chain_are_divided_by_mtkahypar_until_that_is_enough(
    monkeypatch: pytest.MonkeyPatch, pins: int, asked: int
) -> None:
    """Four layers without structure, of some 600 pins each; the others are grown."""
    counted: list[int] = []

    def noting(graph: LayerGraph, parts: int) -> NDArray[np.int32]:
        counted.append(graph.pins)
        return grown(graph, parts)

    monkeypatch.setattr(mtkahypar, "partitioned", noting)
    monkeypatch.setattr(mtkahypar, "version", lambda: "1")
    monkeypatch.setattr(ownership, "_SMALL_PINS", 0)
    monkeypatch.setattr(ownership, "_ALL_PINS", pins)
    partitioned_layers([from_dense(models.sparse_matrix(100, 100, 6, seed)) for seed in range(4)], 4, FREE)
    assert len(counted) == asked, counted


@pytest.mark.parametrize("parts", [2, 8, 62])
def test_a_large_layer_is_grown_in_steps_nearly_as_well_as_neuron_by_neuron(
    monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    rng = np.random.default_rng(1)
    rows = (rng.integers(0, 512, (8, 4096)) + 512 * np.arange(8)[:, None]).ravel()
    columns = np.tile(np.arange(4096), 8)
    graph = layer_graph(from_coordinates((4096, 4096), rows, columns, np.ones(rows.size, np.float32)), parts)
    label = grown(graph, parts)
    work = np.bincount(label, graph.work, parts)
    assert work.max() <= 1.05 * work.mean()
    assert _cut(graph, label) < 0.9 * _cut(graph, np.arange(4096) * parts // 4096)
    monkeypatch.setattr(greedy, "_STEPS", 4096)
    assert _cut(graph, label) < 1.05 * _cut(graph, grown(graph, parts))


def _cut(graph: LayerGraph, label: NDArray[np.integer[Any]]) -> int:
    return sum(
        int(rows) * (np.unique(label[net]).size - 1) for net, rows in zip(graph.nets, graph.net_rows, strict=True)
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 50), st.integers(0, 999))
def test_matching_is_optimal(size: int, highest: int, seed: int) -> None:
    gain = np.random.default_rng(seed).integers(0, highest + 1, (size, size))
    columns = best_matching(gain)
    assert sorted(columns) == list(range(size))
    assert gain[np.arange(size), columns].sum() == gain[linear_sum_assignment(-gain)].sum()


def test_manifest_says_what_travels_and_who_divided(partitioner: str, tmp_path: Path) -> None:
    info = compile_model(models.sparse_chain((60,) * 5), "row", 3, tmp_path).manifest.info
    assert info["sparse_partitioner"] == partitioner_name()
    assert str(info["sparse_partitioner"]).startswith(partitioner)
    assert (info["sparse_boundaries"], info["sparse_exchanges"]) == (3, 2)
    assert 0 < int(info["sparse_pairs"]) <= 2 * 3 * 2
    assert 0 < int(info["sparse_rows_published"]) <= int(info["sparse_rows_sent"])
    assert 0 < int(info["sparse_nano_usd"]) <= int(info["sparse_nano_usd_random"])


def test_model_that_no_rank_shares_says_nothing_of_rows(tmp_path: Path) -> None:
    assert "sparse_rows_sent" not in compile_model(models.sparse_chain(), "batch", 3, tmp_path).manifest.info


@pytest.mark.parametrize("strategy", ["row", "column"])
@pytest.mark.parametrize("workers", [2, 3, 8])
def test_answers_do_not_depend_on_the_partitioner(partitioner: str, workers: int, strategy: str) -> None:
    report = verify(models.sparse_chain((60, 70, 60, 50)), models.sparse_inputs(12, 60), workers, strategy)
    assert report.ok, (partitioner, report.problems)


def test_same_model_and_strategy_are_the_same_bundle(partitioner: str, tmp_path: Path) -> None:
    folders = (tmp_path / "a", tmp_path / "b")
    for folder in folders:
        folder.mkdir()
    first, second = (compile_model(models.sparse_chain((60,) * 4), "row", 3, folder).manifest for folder in folders)
    assert first == second, partitioner
