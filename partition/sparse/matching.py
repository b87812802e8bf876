"""Which part goes to which rank, so that as much as possible is where it is read already."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def best_matching(gain: NDArray[Any]) -> NDArray[np.int32]:
    """The column of each row, all different, with the largest sum of gains.

    gain: [p, p]. The Hungarian method with potentials (Kuhn 1955, Munkres 1957) by shortest augmenting paths,
    p^3 steps of which p are one numpy call.
    """
    size = gain.shape[0]
    cost = gain.max(initial=0) - gain.astype(np.float64)
    row_price, column_price = np.zeros(size), np.zeros(size)
    row_of = np.full(size, -1, np.int64)
    for row in range(size):
        _augment(cost, row, row_of, row_price, column_price)
    column_of = np.empty(size, np.int32)
    column_of[row_of] = np.arange(size)
    return column_of


def _augment(
    cost: NDArray[np.float64],
    start: int,
    row_of: NDArray[np.int64],
    row_price: NDArray[np.float64],
    column_price: NDArray[np.float64],
) -> None:
    """Match one more row along the cheapest path that alternates; prices keep reduced costs at 0 or above."""
    size = cost.shape[0]
    distance, before = np.full(size, np.inf), np.full(size, -1, np.int64)
    done = np.zeros(size, np.bool_)
    row, column, reached = start, -1, 0.0
    while row >= 0:
        through = reached + cost[row] - row_price[row] - column_price
        better = ~done & (through < distance)
        distance[better], before[better] = through[better], column
        column = int(np.where(done, np.inf, distance).argmin())
        reached, done[column] = distance[column], True
        row = int(row_of[column])
    ended = done & (np.arange(size) != column)
    row_price[row_of[ended]] += reached - distance[ended]
    row_price[start] += reached
    column_price[ended] -= reached - distance[ended]
    while column >= 0:
        previous = int(before[column])
        row_of[column] = start if previous < 0 else row_of[previous]
        column = previous
