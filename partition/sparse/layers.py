"""A sparse layer: weight, bias and bounds as one thing, and the parts of it that a rank keeps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from partition.sparse.weights import Rows, SparseWeight, index_type, stored_values

Array = NDArray[Any]
Columns = NDArray[np.uint16] | NDArray[np.int32]

_SEED = 42


@dataclass(frozen=True, eq=False)
class SparseLayer:
    """y = clip(x W + bias, low, high).

    bias: [n], or None.
    low, high: -inf and inf where there is no bound.
    merge: whether the compiler may compute equal rows once (partition.sparse.merge).
    copies: [k] how many equal neurons each input stands for, after that; None = one. A column of the weight may then
            name an input several times, in any order.
    """

    name: str
    weight: SparseWeight
    bias: Array | None = None
    low: float = -math.inf
    high: float = math.inf
    merge: bool = False
    copies: Rows | None = None

    @property
    def zero_preserving(self) -> bool:
        """Whether a sample of zeros gives zeros, exactly: clip(bias) is 0 everywhere. NaN is not 0."""
        bias = np.zeros(1) if self.bias is None else self.bias
        return bool((np.minimum(np.maximum(bias, self.low), self.high) == 0).all())


@dataclass(frozen=True, eq=False)
class LocalWeight:
    """Part of a weight by output row, as the kernels read it: row i sums values[e] * x[indices[e]].

    indptr: [rows + 1] int32; indices: [nnz] uint16 where there are no more inputs, else int32; values: [nnz], or [1]
    where all are the same.
    """

    indptr: Rows
    indices: Columns
    values: Array


def inputs_read(weight: SparseWeight, outputs: Rows) -> Rows:
    """Input neurons that any of these output neurons reads, ascending."""
    read = np.zeros(weight.shape[0], np.bool_)  # far faster than to sort what is read many times
    read[weight.indices[entries_of(weight, outputs)]] = True
    return np.flatnonzero(read).astype(np.int32)


def outputs_fed(weight: SparseWeight, inputs: Rows) -> Rows:
    """Output neurons that read any of these input neurons, ascending."""
    mine = np.flatnonzero(_is_in(weight, inputs)[weight.indices])
    return np.unique(np.searchsorted(weight.indptr, mine, side="right") - 1).astype(np.int32)


def part_of(weight: SparseWeight, outputs: Rows, inputs: Rows) -> LocalWeight:
    """The entries from `inputs` to `outputs` (both ascending), numbered within them."""
    entries = entries_of(weight, outputs)
    counts = np.diff(weight.indptr)[outputs]
    number = np.full(weight.shape[0], -1, np.int32)
    number[inputs] = np.arange(inputs.size, dtype=np.int32)
    numbers, values = number[weight.indices[entries]], weight.values[entries]
    kept = numbers >= 0
    if not kept.all():
        owner = np.repeat(np.arange(outputs.size), counts)
        counts = np.bincount(owner[kept], minlength=outputs.size)
        numbers, values = numbers[kept], values[kept]
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return LocalWeight(indptr, numbers.astype(index_type(inputs.size), copy=False), stored_values(values))


def alike(weight: SparseWeight) -> Rows:
    """[n]: neurons with the same inputs and weights have the same number, and so the same value but for their bias.

    By a random signature of each column; two that collide would only be estimated wrongly.
    """
    signs = np.random.default_rng(_SEED).integers(0, 1 << 62, weight.shape[0], np.int64)
    with np.errstate(over="ignore"):
        terms = signs[weight.indices] * _odd(weight.values)
    totals = np.concatenate([[0], np.cumsum(terms)])
    sums = totals[weight.indptr[1:]] - totals[weight.indptr[:-1]]
    return np.unique(sums, return_inverse=True)[1].astype(np.int32)


def _odd(values: NDArray[Any]) -> NDArray[np.int64]:
    """An odd number for each value."""
    return values.astype(np.float64).view(np.int64) * 2 + 1


def _is_in(weight: SparseWeight, inputs: Rows) -> NDArray[np.bool_]:
    mask = np.zeros(weight.shape[0], np.bool_)
    mask[inputs] = True
    return mask


def entries_of(weight: SparseWeight, outputs: Rows) -> NDArray[np.int64]:
    """Positions of the stored entries of these columns, column by column."""
    return places_of(weight.indptr, outputs)


def places_of(bounds: NDArray[np.int64], slices: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Positions in these slices, one after another; slice i is [bounds[i], bounds[i + 1])."""
    starts = bounds[slices]
    counts = bounds[slices + 1] - starts
    offsets = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    places: NDArray[np.int64] = np.repeat(starts, counts) + offsets
    return places
