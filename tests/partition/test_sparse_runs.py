"""Exchanges that are saved: by components of several layers, and by rows that several ranks compute."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from client.verify import verify
from partition.sparse.assignment import Fixed, contiguous, owners
from partition.sparse.closure import marks, read_marks, work
from partition.sparse.components import connected, joined
from partition.sparse.estimate import Assumed
from partition.sparse.layers import alike, inputs_read
from partition.sparse.messages import Boundary, exchanged, widened
from partition.sparse.ownership import kinds_of, partitioned_columns, partitioned_layers
from partition.sparse.runs import Problem, Run, Tolerated, choose_runs, joint_parts, runs_ending
from partition.sparse.weights import SparseWeight, from_dense, transposed
from tests.partition import models
from tests.partition.test_sparse_ownership import FREE, NEURONS, blocks, ring


def shuffled_blocks(count: int) -> list[SparseWeight]:
    """Four layers a block; what each block reads is shuffled."""
    rng = np.random.default_rng(5)
    return [
        ring(shift, shuffle) for shuffle in (rng.permutation(NEURONS) for _ in range(count)) for shift in (1, 2, 4, 8)
    ]


def exchanging(weights: list[SparseWeight], workers: int, tolerated: Tolerated) -> list[bool]:
    """Before each layer but the first, whether some rank lacks what it reads."""
    owned = partitioned_layers(weights, workers, FREE, tolerated)
    return [
        not all(np.isin(inputs_read(weight, after), before).all() for before, after in zip(*pair, strict=True))
        for weight, pair in zip(weights[1:], pairwise(owned[1:]), strict=True)
    ]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(0, 40), st.integers(0, 999))
def test_components_are_scipys(size: int, edges: int, seed: int) -> None:
    left, right = np.random.default_rng(seed).integers(0, size, (2, edges))
    graph = coo_array((np.ones(edges), (left, right)), (size, size))
    count, expected = connected_components(graph, directed=False)
    found = connected(left, right, size)
    assert found.max() + 1 == count
    assert len(set(zip(found.tolist(), expected.tolist(), strict=True))) == count


def test_components_of_layers_in_a_row_are_those_of_their_union() -> None:
    counts = [int(label.max()) + 1 for label in joined([ring(8), ring(4), ring(2)])]
    assert counts == [8, 4, 2]


def test_layers_that_fall_apart_together_are_divided_together() -> None:
    weights = [ring(8), ring(4), ring(12)]
    assert [part is None for part in joint_parts(weights, 4)] == [True, False, False]
    assert exchanging(weights, 4, Tolerated(recompute=0.0)) == [False, False]


def test_every_other_exchange_is_saved_by_rows_that_are_computed_twice() -> None:
    weights = shuffled_blocks(3)
    assert sum(exchanging(weights, 4, Tolerated(recompute=0.0, layers=1))) == len(weights) - 1
    assert sum(exchanging(weights, 4, Tolerated(recompute=0.25))) <= len(weights) / 2


@pytest.mark.parametrize("recompute", [0.0, 0.05, 0.25])
@pytest.mark.parametrize("workers", [3, 4, 8])
def test_no_more_is_recomputed_than_is_tolerated(workers: int, recompute: float) -> None:
    weights = shuffled_blocks(2)
    owned = partitioned_layers(weights, workers, FREE, Tolerated(recompute=recompute))
    done = sum(int(np.diff(w.indptr)[rows].sum()) for w, o in zip(weights, owned[1:], strict=True) for rows in o)
    assert done <= (1 + recompute) * sum(weight.nnz for weight in weights)


def test_where_ranks_exchange_every_neuron_has_one_owner() -> None:
    weights = shuffled_blocks(2)
    owned = partitioned_layers(weights, 4, FREE)
    for does, have in zip(exchanging(weights, 4, Tolerated()), owned[1:-1], strict=True):
        if does:
            np.testing.assert_array_equal(np.sort(np.concatenate(have)), np.arange(NEURONS))


def test_shared_ends_are_contiguous() -> None:
    weights = blocks()
    rows = partitioned_layers(weights, 3, Fixed(input=True, output=True))
    columns = partitioned_columns(weights, 3, Fixed(input=True, output=True))
    for owned in (rows[0], rows[-1], columns[0], columns[-1]):
        np.testing.assert_array_equal(owners(owned), owners(contiguous(NEURONS, 3)))


def total_usd(runs: Sequence[Run]) -> float:
    return sum(run.usd + run.extra * Assumed().multiply_usd for run in runs)


@pytest.mark.parametrize("recompute", [0.0, 0.1, 10.0])
def test_runs_are_the_cheapest_of_all_ways_to_cut_the_chain(recompute: float) -> None:
    weights = shuffled_blocks(2)[:6]
    parts_of = [owners(contiguous(NEURONS, 4)) for _ in weights]
    problem = Problem(weights, 4, parts_of, kinds_of(weights), Tolerated(recompute=recompute))
    runs = {(run.start, run.stop): run for stop in range(1, 7) for run in runs_ending(problem, stop)}
    cuts = [(0, *cut, 6) for size in range(6) for cut in combinations(range(1, 6), size)]
    ways = [[runs[pair] for pair in pairwise(cut)] for cut in cuts if all(pair in runs for pair in pairwise(cut))]
    most = recompute * sum(weight.nnz for weight in weights)
    cheapest = min(total_usd(way) for way in ways if sum(run.extra for run in way) <= most)
    assert total_usd(choose_runs(problem)) == pytest.approx(cheapest)


def test_closure_is_what_the_next_layer_reads() -> None:
    held = marks(owners(contiguous(NEURONS, 4)), 4)
    read = read_marks(ring(2), held)
    for part, rows in enumerate(contiguous(NEURONS, 4)):
        np.testing.assert_array_equal(np.flatnonzero(read[part]), inputs_read(ring(2), rows))
    assert work(ring(2), held).tolist() == [64 * 32] * 4


def test_neurons_of_equal_inputs_and_weights_are_alike() -> None:
    kinds = alike(ring(1))
    assert np.unique(kinds).size == 16
    assert (kinds == kinds[:16].repeat(16).reshape(16, 16).T.ravel()).all()
    other = ring(1)
    changed = SparseWeight(other.shape, other.indptr, other.indices, other.values * np.float32(2))
    changed.values[:32] = 1
    assert np.unique(alike(changed)).size == 17


def test_transposed_twice_is_the_weight() -> None:
    weight = from_dense(models.sparse_matrix(30, 7, 3, 0))
    np.testing.assert_array_equal(transposed(weight).dense(), weight.dense().T)


def test_one_message_serves_all_where_rows_are_alike() -> None:
    kinds = np.repeat(np.arange(8), 32).astype(np.int32)
    held = contiguous(256, 4)
    wanted = tuple(np.arange(rank, 256, 4, dtype=np.int32) for rank in range(4))  # some of every kind
    got = widened(Boundary(9, held, wanted, kinds), Assumed())
    assert [rows.size for rows in got] == [16 + 3 * 48] * 4  # its own, and all that anybody else reads of the others
    sent, received = exchanged(Boundary(9, held, got, kinds))
    assert [one.messages for one in sent] == [1] * 4
    assert [one.messages for one in received] == [3] * 4
    assert [one.distinct for one in received] == [6] * 4


def test_each_gets_its_own_where_nothing_is_alike() -> None:
    held = contiguous(4096, 4)
    wanted = tuple(np.arange(rank, 4096, 4, dtype=np.int32) for rank in range(4))
    got = widened(Boundary(1, held, wanted, np.arange(4096, dtype=np.int32)), Assumed())
    assert [rows.size for rows in got] == [1024] * 4


@pytest.mark.parametrize("strategy", ["row", "column"])
def test_answers_hold_where_exchanges_were_saved(strategy: str) -> None:
    report = verify(
        models.sparse_layers([weight.dense() for weight in shuffled_blocks(2)]),
        models.sparse_inputs(9, NEURONS),
        4,
        strategy,
    )
    assert report.ok, report.problems
    if strategy == "row":
        assert report.exchanges["rows"] <= 6  # in, out, and at most four of seven between
