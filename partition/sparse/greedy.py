"""Divide a layer's hypergraph without any library: whole components where they balance, else grown part by part."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from partition.sparse.components import connected, packed
from partition.sparse.hypergraph import LayerGraph
from partition.sparse.layers import places_of
from partition.sparse.weights import Rows

# A part takes its units in at least so many steps, all parts together in about so many: with more of them a random
# layer of 65,536 neurons was divided no better, and it took longer.
_PART_STEPS = 16
_STEPS = 1024


def components(graph: LayerGraph) -> Rows:
    """The component of each unit, numbered by its first unit."""
    firsts = graph.members[graph.bounds[:-1]]
    return connected(np.repeat(firsts, np.diff(graph.bounds)), graph.members, graph.units)


def whole_components(graph: LayerGraph, parts: int) -> Rows | None:
    """The part of each unit so that no net is cut; None where that cannot be balanced."""
    return packed(components(graph), graph.work, parts)


def grown(graph: LayerGraph, parts: int) -> Rows:
    """The part of each unit: one part after another takes the units that share most inputs with what it has."""
    pins = _Pins(graph)
    label = np.full(graph.units, -1, np.int32)
    most = max(1, graph.units // max(_STEPS, _PART_STEPS * parts))
    for part in range(parts):
        left = graph.work[label < 0].sum()
        target = left / (parts - part) if part < parts - 1 else np.inf
        pins.forget()
        load, full = 0, False
        while not full and (free := np.flatnonzero(label < 0)).size:
            best = free[_largest(pins.score[free], most)]
            loads = load + np.cumsum(graph.work[best])
            fitting = best[loads - graph.work[best] / 2 <= target]
            label[fitting] = part
            load, full = load + int(graph.work[fitting].sum()), fitting.size < best.size
            pins.touch(fitting)
    return label


def _largest(values: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Where the largest values are, from the largest on; of equal ones that are found the first."""
    if count == 1:
        return np.array([values.argmax()])
    near = np.argpartition(-values, min(count, values.size) - 1)[:count]
    order: NDArray[np.int64] = near[np.lexsort((near, -values[near]))]
    return order


class _Pins:
    """What a unit shares with the part that is being grown.

    score: [units] input rows read already, less those that would be new.
    """

    def __init__(self, graph: LayerGraph) -> None:
        self._graph, self._sizes = graph, np.diff(graph.bounds)
        self._nets = np.repeat(np.arange(self._sizes.size), self._sizes)[np.argsort(graph.members, kind="stable")]
        self._of_unit = np.concatenate([[0], np.cumsum(np.bincount(graph.members, minlength=graph.units))])
        self._alone = np.zeros(graph.units, np.int64)
        np.subtract.at(self._alone, graph.members, np.repeat(graph.net_rows, self._sizes))
        self.forget()

    def forget(self) -> None:
        """Begin a new part."""
        self.score = self._alone.copy()
        self._touched = np.zeros(self._sizes.size, np.bool_)

    def touch(self, units: NDArray[np.int64]) -> None:
        """The part has these units now, and reads their inputs."""
        nets = np.unique(self._nets[places_of(self._of_unit, units)])
        nets = nets[~self._touched[nets]]
        self._touched[nets] = True
        rows = np.repeat(2 * self._graph.net_rows[nets], self._sizes[nets])
        np.add.at(self.score, self._graph.members[places_of(self._graph.bounds, nets)], rows)
