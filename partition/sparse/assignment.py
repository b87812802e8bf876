"""Which rank owns which neurons of each layer of a chain: one kind of function, so that methods can be exchanged."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from engine.split import split_bounds
from partition.sparse.weights import Rows, SparseWeight

Owned = tuple[Rows, ...]  # by rank: the neurons it owns, ascending; together every neuron once
Assign = Callable[[Sequence[SparseWeight], int], tuple[Owned, ...]]  # before each layer, and behind the last one

_SEED = 42


def contiguous(neurons: int, workers: int) -> Owned:
    """Equal contiguous pieces, divided as every other axis is."""
    return tuple(np.arange(low, high, dtype=np.int32) for low, high in split_bounds(neurons, workers))


def contiguous_layers(weights: Sequence[SparseWeight], workers: int) -> tuple[Owned, ...]:
    """Equal contiguous pieces of every layer."""
    return tuple(contiguous(size, workers) for size in layer_sizes(weights))


def random_layers(weights: Sequence[SparseWeight], workers: int) -> tuple[Owned, ...]:
    """Equal pieces of a seeded shuffle of every layer: what a partitioner is compared with."""
    rng = np.random.default_rng(_SEED)
    shuffled = (rng.permutation(size).astype(np.int32) for size in layer_sizes(weights))
    return tuple(tuple(np.sort(part) for part in np.array_split(rows, workers)) for rows in shuffled)


def layer_sizes(weights: Sequence[SparseWeight]) -> list[int]:
    """Neurons before each layer, and behind the last one."""
    return [weights[0].shape[0], *(weight.shape[1] for weight in weights)]


def owners(owned: Owned) -> Rows:
    """The rank that owns each neuron."""
    ranks = np.empty(sum(rows.size for rows in owned), np.int32)
    for rank, rows in enumerate(owned):
        ranks[rows] = rank
    return ranks


def owned_by(ranks: Rows, workers: int) -> Owned:
    """The neurons of each rank, from the rank of each neuron."""
    return tuple(np.flatnonzero(ranks == rank).astype(np.int32) for rank in range(workers))
