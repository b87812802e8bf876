"""Ownership by hypergraph partitioning: so that little travels, seldom, and every rank multiplies as much.

A layer's outputs are divided by its own hypergraph: whole components first, of several layers in a row where they have
any, else by Mt-KaHyPar or, without it or where that would take too long, by growing. Layers of equal structure are
divided once. `runs` then decides before which layers ranks exchange; between them each computes what it reads itself.
Which part is whose is matched with the owners of what a run reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from partition.sparse import mtkahypar
from partition.sparse.assignment import Fixed, Owned, contiguous, contiguous_layers, owners
from partition.sparse.closure import Marks, backwards, marks
from partition.sparse.greedy import grown, whole_components
from partition.sparse.hypergraph import LayerGraph, layer_graph
from partition.sparse.layers import alike
from partition.sparse.matching import best_matching
from partition.sparse.runs import Problem, Run, Tolerated, choose_runs, joint_parts
from partition.sparse.weights import Rows, SparseWeight, transposed, without_repeats

# Pins (a unit that reads a net) that Mt-KaHyPar is asked to divide: of one graph at any time, and of all graphs of a
# chain together. It takes 20 to 80 microseconds for a pin of a random graph, and divides that no better than growing.
_SMALL_PINS = 1 << 14
_ALL_PINS = 1 << 18


def partitioner_name() -> str:
    """Which partitioner is used here, for reports."""
    version = mtkahypar.version()
    return f"mtkahypar {version}" if version else "greedy (mtkahypar is not installed: more rows travel)"


def partitioned_layers(
    weights: Sequence[SparseWeight], workers: int, fixed: Fixed, tolerated: Tolerated | None = None
) -> tuple[Owned, ...]:
    """What each rank has before each layer and behind the last one; the chain's input is divided contiguously.

    Where ranks exchange, and behind the last layer, every neuron is had once; inside of a run it may be had by several.
    """
    parts_of = list(_parts(weights, workers))
    if fixed.output:
        parts_of[-1] = owners(contiguous(weights[-1].shape[1], workers))
    problem = Problem(weights, workers, parts_of, kinds_of(weights), tolerated or Tolerated())
    return tuple(_placed(weights, choose_runs(problem), workers, fixed))


def partitioned_columns(weights: Sequence[SparseWeight], workers: int, fixed: Fixed) -> tuple[Owned, ...]:
    """As partitioned_layers, for ranks that own the inputs of a layer: the same problem, seen from the other end.

    Sums are sent where rows are read, so nothing can be computed twice. Contiguous where a rank would have no input.
    """
    mirrored = [transposed(without_repeats(weight)) for weight in reversed(weights)]
    turned = Fixed(fixed.output, fixed.input)
    owned = partitioned_layers(mirrored, workers, turned, Tolerated(recompute=0.0, layers=1))[::-1]
    return owned if all(rows.size for rows in owned[0]) else contiguous_layers(weights, workers, fixed)


def kinds_of(weights: Sequence[SparseWeight]) -> list[Rows]:
    """Before each layer, and behind the last, a number for each kind of neuron: those of one kind compute the same."""
    return [np.arange(weights[0].shape[0], dtype=np.int32), *map(alike, weights)]


def _parts(weights: Sequence[SparseWeight], workers: int) -> Iterator[Rows]:
    """By layer, the part of each output."""
    known: dict[bytes, Rows] = {}
    left = _ALL_PINS
    for weight, joint in zip(weights, joint_parts(weights, workers), strict=True):
        if joint is not None:
            yield joint
            continue
        graph = layer_graph(weight, workers)
        key = graph.key
        if key not in known:
            asked = graph.pins <= max(left, _SMALL_PINS)
            left -= graph.pins if asked else 0
            known[key] = _divided(graph, workers, asked)[graph.unit_of]
        yield known[key]


def _divided(graph: LayerGraph, parts: int, asked: bool) -> Rows:
    """The part of each unit; asked: whether by Mt-KaHyPar, if it is installed."""
    whole = whole_components(graph, parts)
    if whole is not None:
        return whole
    grows = not asked or graph.units < 2 * parts or mtkahypar.version() is None
    return grown(graph, parts) if grows else mtkahypar.partitioned(graph, parts)


def _placed(weights: Sequence[SparseWeight], runs: Sequence[Run], workers: int, fixed: Fixed) -> Iterator[Owned]:
    """What each rank has, boundary by boundary."""
    owned = contiguous(weights[0].shape[0], workers)
    yield owned
    for run in runs:
        inside = list(backwards(weights[run.start : run.stop], marks(run.part_of, workers)))
        keep = fixed.output and run.stop == len(weights)
        part_of_rank = np.arange(workers) if keep else _matched(inside[-1][2], owned)
        for _, held, _ in reversed(inside):
            owned = tuple(np.flatnonzero(held[part]).astype(np.int32) for part in part_of_rank)
            yield owned


def _matched(read: Marks, owned: Owned) -> NDArray[np.int64]:
    """The part of each rank, so that most rows that are read are at home."""
    owner = owners(owned)
    overlap = np.array([np.bincount(owner[mask], minlength=len(owned)) for mask in read])
    return np.argsort(best_matching(overlap))
