"""Rows of other ranks, placed as they arrive: the array that a layer reads fills up while the rest is awaited.

Parts of different ranks have different live samples, and which there will be in all is known only at the end. The array
has columns for the samples of what was placed first; a part with others waits until all are there. Then what was placed
is laid out anew, once. To do that for every such part was measured to take longer than what it lets a rank compute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from channels.tensors import LiveTensor
from engine.tensor_ops import different_rows

Array = NDArray[np.generic]

# So much is placed at once before the last part is there: for less, the calls take as long as the copying.
PLACED_BYTES = 1 << 19
_MOVED_ITEMS = 1 << 16


@dataclass(frozen=True, eq=False)
class Part:
    """What one rank gave.

    source: its position in the group.
    rows:   [r] where its rows go.
    tensor: [r, live] the rows.
    """

    source: int
    rows: NDArray[np.int32]
    tensor: LiveTensor


class Arriving:
    """The output [rows, live] of an exchange of rows, as far as it is there; rows that nobody gave are zero.

    samples: [live] the live samples of what was placed.
    values:  [rows, live].
    """

    def __init__(self, rows: int, dtype: np.dtype[np.generic], total: int) -> None:
        self.samples = np.zeros(0, np.int32)
        self.values: Array = np.zeros((rows, 0), dtype)
        self._total = total
        self._known = np.zeros(total, np.bool_)
        self._waiting: list[Part] = []
        self._waiting_bytes = 0
        self._placed: list[NDArray[np.int32]] = []

    def add(self, part: Part) -> None:
        """Take a part, which `place` places."""
        self._waiting.append(part)
        self._waiting_bytes += part.tensor.values.nbytes

    @property
    def is_much(self) -> bool:
        """Whether so much is to be placed that it is worth while before the rest is there."""
        return self._waiting_bytes >= PLACED_BYTES

    def place(self) -> Sequence[Part]:
        """Place the parts that have no samples but those that are placed already; return them."""
        if not self._placed:
            return self._place(list(self._waiting))
        return self._place([part for part in self._waiting if self._known[part.tensor.samples].all()])

    def finish(self) -> Sequence[Part]:
        """Place what is left; return it."""
        return self._place(list(self._waiting))

    @property
    def tensor(self) -> LiveTensor:
        """What is placed."""
        return LiveTensor(self.values, self.samples, self._total)

    def _place(self, parts: Sequence[Part]) -> Sequence[Part]:
        for part in parts:
            self._known[part.tensor.samples] = True
        if np.count_nonzero(self._known) > self.samples.size:
            self._lay_out(np.flatnonzero(self._known).astype(np.int32))
        for part in parts:
            self.values[part.rows] = spread(part.tensor, self.samples)
            self._placed.append(part.rows)
        self._waiting = [part for part in self._waiting if part not in parts]
        self._waiting_bytes = _bytes(self._waiting)
        return parts

    def _lay_out(self, samples: NDArray[np.int32]) -> None:
        values = np.zeros((self.values.shape[0], samples.size), self.values.dtype)
        columns, zero = np.searchsorted(samples, self.samples), np.zeros((self.values.shape[0], 1), self.values.dtype)
        for rows in self._placed:
            move(self.values, values, rows, columns, zero)
        self.samples, self.values = samples, values


def spread(part: LiveTensor, samples: NDArray[np.int32]) -> Array:
    """The part's values with a column for each of `samples`, zero where it has none, or the one row that all are."""
    if part.samples.size == samples.size:
        return part.values
    zero = np.zeros((1, 1), part.values.dtype)
    return _widened(different_rows(part.values), np.searchsorted(samples, part.samples), samples.size, zero)


def move(source: Array, target: Array, rows: NDArray[np.integer], columns: NDArray[np.integer], fill: Array) -> None:
    """Copy rows of an array to the same rows and other columns of a wider one, a few at a time.

    columns: ascending. fill: [rows of the array, 1] what the other columns get.
    """
    step = max(1, _MOVED_ITEMS // max(1, target.shape[1]))
    for start in range(0, rows.size, step):
        some = rows[start : start + step]
        target[some] = _widened(source[some], columns, target.shape[1], fill[some])


def _widened(values: Array, columns: NDArray[np.integer], live: int, fill: Array) -> Array:
    """[r, live] with the values [r, n] in n columns, and `fill` in the others.

    To gather is three times as fast as to scatter, unless there is little to scatter.
    """
    wide: Array
    if 2 * columns.size < live:
        wide = np.empty((values.shape[0], live), values.dtype)
        wide[:] = fill
        wide[:, columns] = values
        return wide
    known = np.zeros(live, np.bool_)
    known[columns] = True
    wide = np.take(values, np.maximum(np.cumsum(known) - 1, 0), axis=1, mode="clip")
    wide[:, ~known] = fill
    return wide


def _bytes(parts: Sequence[Part]) -> int:
    return sum(part.tensor.values.nbytes for part in parts)
