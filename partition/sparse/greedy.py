"""Divide a layer's hypergraph without any library: whole components where they balance, else grown part by part."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from partition.sparse.components import connected, packed
from partition.sparse.hypergraph import LayerGraph
from partition.sparse.weights import Rows


def components(graph: LayerGraph) -> Rows:
    """The component of each unit, numbered by its first unit."""
    ends = [(int(net[0]), int(unit)) for net in graph.nets for unit in net[1:]]
    left, right = np.array(ends, np.int64).reshape(-1, 2).T
    return connected(left, right, graph.units)


def whole_components(graph: LayerGraph, parts: int) -> Rows | None:
    """The part of each unit so that no net is cut; None where that cannot be balanced."""
    return packed(components(graph), graph.work, parts)


def grown(graph: LayerGraph, parts: int) -> Rows:
    """The part of each unit: one part after another takes the unit that shares most inputs with what it has."""
    pins = _Pins(graph)
    label = np.full(graph.units, -1, np.int32)
    for part in range(parts):
        free = label < 0
        pins.forget()
        target, load = graph.work[free].sum() / (parts - part), 0.0
        while free.any():
            unit = int(np.where(free, pins.score, -np.inf).argmax())
            if part < parts - 1 and load + graph.work[unit] / 2 > target:
                break
            label[unit], free[unit] = part, False
            load += graph.work[unit]
            pins.touch(unit)
    return label


class _Pins:
    """What a unit shares with the part that is being grown.

    score: [units] input rows read already, less those that would be new.
    """

    def __init__(self, graph: LayerGraph) -> None:
        self._graph = graph
        self._nets_of: list[list[int]] = [[] for _ in range(graph.units)]
        self._alone = np.zeros(graph.units)
        for number, net in enumerate(graph.nets):
            self._alone[net] -= graph.net_rows[number]
            for unit in net.tolist():
                self._nets_of[unit].append(number)
        self.forget()

    def forget(self) -> None:
        """Begin a new part."""
        self.score: NDArray[np.float64] = self._alone.copy()
        self._touched: set[int] = set()

    def touch(self, unit: int) -> None:
        """The part has this unit now, and reads its inputs."""
        for number in self._nets_of[unit]:
            if number not in self._touched:
                self._touched.add(number)
                self.score[self._graph.nets[number]] += 2 * self._graph.net_rows[number]
