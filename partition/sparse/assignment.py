"""Which rank owns which neurons of a layer: one function, so that a partitioner can take its place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from engine.split import split_bounds

Rows = NDArray[np.int32]
Owned = tuple[Rows, ...]  # by rank: the neurons it owns, ascending; together every neuron once
Assign = Callable[[int, int], Owned]


def contiguous(neurons: int, workers: int) -> Owned:
    """Equal contiguous pieces, divided as every other axis is."""
    return tuple(np.arange(low, high, dtype=np.int32) for low, high in split_bounds(neurons, workers))
