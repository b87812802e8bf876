"""What parts must compute so that several layers need no exchange between them, from the last layer back.

Neurons are marked by part: [P, n] booleans. Behind a run's last layer every neuron has one part; before it a neuron may
be computed by several: that is the halo of recomputed rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from partition.sparse.layers import inputs_read
from partition.sparse.weights import Rows, SparseWeight

Marks = NDArray[np.bool_]


def marks(part_of: Rows, parts: int) -> Marks:
    """[parts, n]: which part has a neuron."""
    held: Marks = np.arange(parts, dtype=np.int32)[:, None] == part_of
    return held


def read_marks(weight: SparseWeight, held: Marks) -> Marks:
    """[P, k]: the inputs that each part reads to compute the outputs that it holds ([P, n])."""
    read = np.zeros((held.shape[0], weight.shape[0]), np.bool_)
    for part, mine in enumerate(held):
        read[part, inputs_read(weight, np.flatnonzero(mine).astype(np.int32))] = True
    return read


def backwards(weights: Sequence[SparseWeight], held: Marks) -> Iterator[tuple[int, Marks, Marks]]:
    """From the last layer of `weights` to the first: (number, outputs computed, inputs read) by part."""
    for number in range(len(weights) - 1, -1, -1):
        read = read_marks(weights[number], held)
        yield number, held, read
        held = read


def work(weight: SparseWeight, held: Marks) -> NDArray[np.int64]:
    """[P]: multiplications of each part."""
    multiplications: NDArray[np.int64] = held.astype(np.int64) @ np.diff(weight.indptr)
    return multiplications
