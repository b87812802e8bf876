"""Ownership by hypergraph partitioning: layer by layer, so that few rows travel and every rank multiplies as much.

A layer's outputs are divided by its own hypergraph: whole components first (then the layer needs no exchange, if its
inputs are owned accordingly), else by Mt-KaHyPar or, without it, by growing. Which part is whose is then matched with
the owners of the layer's inputs. Layers of equal structure are divided once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from partition.sparse import mtkahypar
from partition.sparse.assignment import Owned, contiguous, owned_by, owners
from partition.sparse.greedy import grown, whole_components
from partition.sparse.hypergraph import LayerGraph, layer_graph
from partition.sparse.matching import best_matching
from partition.sparse.weights import Rows, SparseWeight


def partitioner_name() -> str:
    """Which partitioner is used here, for reports."""
    version = mtkahypar.version()
    return f"mtkahypar {version}" if version else "greedy (mtkahypar is not installed: more rows travel)"


def partitioned_layers(weights: Sequence[SparseWeight], workers: int) -> tuple[Owned, ...]:
    """Owners before each layer and behind the last one; those of the chain's input are contiguous."""
    return tuple(_layer_by_layer(weights, workers))


def _layer_by_layer(weights: Sequence[SparseWeight], workers: int) -> Iterator[Owned]:
    owned = contiguous(weights[0].shape[0], workers)
    known: dict[bytes, Rows] = {}
    yield owned
    for weight in weights:
        graph = layer_graph(weight, workers)
        key = graph.key
        if key not in known:
            known[key] = _divided(graph, workers)[graph.unit_of]
        owned = _matched(weight, owned, known[key])
        yield owned


def _divided(graph: LayerGraph, parts: int) -> Rows:
    """The part of each unit."""
    whole = whole_components(graph, parts)
    if whole is not None:
        return whole
    small = graph.units < 2 * parts
    return grown(graph, parts) if small or mtkahypar.version() is None else mtkahypar.partitioned(graph, parts)


def _matched(weight: SparseWeight, inputs: Owned, part_of: Rows) -> Owned:
    """Parts given to ranks so that most rows that are read are at home."""
    workers = len(inputs)
    reads = np.zeros((workers, weight.shape[0]), np.bool_)
    reads[np.repeat(part_of, np.diff(weight.indptr)), weight.indices] = True
    rank_of = best_matching(_overlap(reads, owners(inputs), workers))
    return owned_by(rank_of[part_of], workers)


def _overlap(reads: NDArray[np.bool_], owner: Rows, workers: int) -> NDArray[np.int64]:
    """[part, rank]: rows of the rank that the part reads."""
    return np.array([np.bincount(owner[row], minlength=workers) for row in reads])
