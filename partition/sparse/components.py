"""Which neurons hang together: connected components of a layer, and of several layers in a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from partition.sparse.layers import alike, entries_of
from partition.sparse.weights import Rows, SparseWeight

BALANCE = 0.05  # the heaviest part may be this much above the mean


def connected(left: NDArray[np.integer[Any]], right: NDArray[np.integer[Any]], size: int) -> Rows:
    """[size]: the component of each vertex of the graph with edges left[i] - right[i], numbered from 0.

    Hooks larger roots below smaller ones and halves paths (Shiloach and Vishkin 1982): few passes, all of them numpy's.
    """
    root = np.arange(size, dtype=np.int64)
    while True:
        low, high = np.sort([root[left], root[right]], axis=0)
        open_edges = low < high
        if not open_edges.any():
            return _numbered(root)
        left, right = left[open_edges], right[open_edges]
        np.minimum.at(root, high[open_edges], low[open_edges])
        while (root != (shorter := root[root])).any():
            root = shorter


def joined(weights: Sequence[SparseWeight]) -> Iterator[Rows]:
    """After each further layer, the component of its outputs: what shares an input anywhere since the first layer."""
    label = np.arange(weights[0].shape[0], dtype=np.int32)
    for weight in weights:
        _, places, kinds = np.unique(alike(weight), return_index=True, return_inverse=True)
        first = places.astype(np.int32)
        groups, shown = int(label.max(initial=-1)) + 1, first.size  # one output of each kind shows what all of it read
        readers = np.repeat(np.arange(shown, dtype=np.int64), np.diff(weight.indptr)[first])
        inputs = label[weight.indices[entries_of(weight, first)]].astype(np.int64)
        label = _numbered(connected(inputs, readers + groups, groups + shown)[groups:]).take(kinds)
        yield label


def _numbered(label: NDArray[np.integer[Any]]) -> Rows:
    """The same labels, numbered from 0."""
    numbers: Rows = np.unique(label, return_inverse=True)[1].astype(np.int32)
    return numbers


def packed(component: Rows, work: NDArray[np.int64], parts: int) -> Rows | None:
    """The part of each vertex so that no component is cut; None where that cannot be balanced. Heaviest first."""
    sizes = np.bincount(component, work)
    if sizes.size < parts:
        return None
    part_of, load = np.empty(sizes.size, np.int32), np.zeros(parts)
    for number in np.argsort(-sizes, kind="stable"):
        part_of[number] = load.argmin()
        load[part_of[number]] += sizes[number]
    balanced = load.max() <= (1 + BALANCE) * load.mean()
    return part_of[component] if balanced else None
