"""Which rank owns which neurons of each layer of a chain: one kind of function, so that methods can be exchanged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from engine.split import split_bounds
from partition.sparse.weights import Rows, SparseWeight

Owned = tuple[Rows, ...]  # by rank: the neurons it has, ascending; together every neuron, once where ranks exchange


class Fixed(NamedTuple):
    """Ends of a chain that are divided contiguously because other ops share them."""

    input: bool
    output: bool


Assign = Callable[[Sequence[SparseWeight], int, Fixed], tuple[Owned, ...]]
"""What each rank has before each layer, and behind the last one."""

_SEED = 42


def contiguous(neurons: int, workers: int) -> Owned:
    """Equal contiguous pieces, divided as every other axis is."""
    return tuple(np.arange(low, high, dtype=np.int32) for low, high in split_bounds(neurons, workers))


def contiguous_layers(weights: Sequence[SparseWeight], workers: int, _: Fixed) -> tuple[Owned, ...]:
    """Equal contiguous pieces of every layer."""
    return tuple(contiguous(size, workers) for size in layer_sizes(weights))


def random_layers(weights: Sequence[SparseWeight], workers: int, fixed: Fixed) -> tuple[Owned, ...]:
    """Equal pieces of a seeded shuffle of every layer: what a partitioner is compared with."""
    rng = np.random.default_rng(_SEED)
    shuffled = (rng.permutation(size).astype(np.int32) for size in layer_sizes(weights))
    owned = [tuple(np.sort(part) for part in np.array_split(rows, workers)) for rows in shuffled]
    for end, is_fixed in ((0, fixed.input), (-1, fixed.output)):
        if is_fixed:
            owned[end] = contiguous(layer_sizes(weights)[end], workers)
    return tuple(owned)


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
