"""Weights as a rank stores them: pieces cut from the model's initializers, written one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bundle.manifest import TensorEntry
from bundle.shard import ShardWriter
from partition.graph import Graph
from partition.placement import Placement, Shard


@dataclass(frozen=True, eq=False)
class Stored:
    """A tensor that the compiler derived: an index map, or a rank's part of a sparse weight.

    make:      gives the array when it is written.
    is_weight: whether it counts as weight bytes of the model.
    """

    make: Callable[[], NDArray[np.generic]]
    is_weight: bool = True


def store_weight(
    writer: ShardWriter, graph: Graph, local: str, name: str, placement: Placement, rank: int, workers: int
) -> TensorEntry:
    """Write this rank's piece of an initializer; memory-mapped weights are copied block by block."""
    tensor, info = graph.weights[name], graph.values[name]
    if not info.travels:
        return writer.add_chunks(local, info.dtype, _dims(tensor.shape.numpy()), [tensor.tobytes()])
    return writer.add(local, piece_of(tensor.numpy(), placement, rank, workers))


def piece_of(array: NDArray[np.generic], placement: Placement, rank: int, workers: int) -> NDArray[np.generic]:
    """The part that `placement` gives to `rank`: a view, but for pieces of several blocks."""
    if not isinstance(placement, Shard):
        return array
    axis, blocks = placement.axis, placement.blocks
    low, high = placement.bounds(array.shape[axis], workers)[rank]
    if blocks == 1:
        return array[(slice(None),) * axis + (slice(low, high),)]
    opened = array.reshape(*array.shape[:axis], blocks, -1, *array.shape[axis + 1 :])
    piece = opened[(slice(None),) * (axis + 1) + (slice(low, high),)]
    return piece.reshape(*array.shape[:axis], blocks * (high - low), *array.shape[axis + 1 :])


def _dims(dims: Iterable[int]) -> tuple[int, ...]:
    return tuple(int(dim) for dim in dims)
