"""Where to cut a graph into stages: consecutive ops of its topological order, one group of ranks each.

Exact, by dynamic programming over the places where a cut may be: first the least weight bytes that the fullest rank
must hold; then, within a part of a share more than that, the least work of the busiest rank; then, with a little more
work than that, the fewest bytes from stage to stage. Where one op's weights are more than a share (a table of
embeddings), stages of several ranks are allowed, which divide their ops among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from partition.graph import Graph
from partition.work import all_work

_SLACK = 0.08  # of an even share of the weights, to even out the work
_UNEVEN = 1.2  # times an even share: the least that makes stages of several ranks worth it
_APART = 1e18  # bytes that a further rank in a stage is worth, so that there are no more of them than needed
_LAZY = 1.1  # times the least work of the busiest rank, to send less
_CUTS = 600  # places that are looked at, at most
_SHARED_BYTES = 4096  # smaller weights are counted for each op that reads them
Numbers = NDArray[np.float64]
Cost = Callable[[int], Numbers]


@dataclass(frozen=True)
class Stage:
    """Ops [low, high) of the graph, on `ranks` ranks."""

    low: int
    high: int
    ranks: int


def cut_stages(graph: Graph, workers: int, held: Sequence[int]) -> tuple[Stage, ...]:
    """The stages in order; fewer than workers where a stage has several ranks, or there is nothing left to cut.

    held: per op, weight bytes that it holds beside the graph's dense weights (those of a sparse layer).
    """
    table = _table(graph, held)
    share = table.weights[0, -1] / workers
    fullest = _best(lambda g: table.weights / g, np.maximum, workers, range(1, 2))[0]
    if fullest > _UNEVEN * share:
        return _shared(table, workers, _UNEVEN * share)
    limit = min(fullest + _SLACK * share, _UNEVEN * share)
    fits = table.weights <= limit
    busiest = _best(lambda _: np.where(fits, table.work, np.inf), np.maximum, workers, range(1, 2))[0]
    legal = fits & (table.work <= _LAZY * busiest)
    return tuple(_best(lambda _: table.sending(legal), np.add, workers, range(1, 2))[1](table.places))


def _shared(table: _Table, workers: int, wanted: float) -> tuple[Stage, ...]:
    """Stages of which the ones that one rank could not hold have several."""
    groups = range(1, workers + 1)
    fullest = _best(lambda g: table.weights / g, np.maximum, workers, groups)[0]
    limit = max(fullest, wanted) * (1 + 1e-9)

    def cost(ranks: int) -> Numbers:
        return table.sending(table.weights <= limit * ranks) + _APART * (ranks - 1)

    return tuple(_best(cost, np.add, workers, groups)[1](table.places))


@dataclass(frozen=True, eq=False)
class _Table:
    """places: [cuts] op numbers; weights, work: [cuts, cuts] of the ops between two; sent: [cuts] bytes across one."""

    places: NDArray[np.int64]
    weights: Numbers
    work: Numbers
    sent: Numbers

    def sending(self, legal: NDArray[np.bool_]) -> Numbers:
        """[cuts, cuts] bytes that come into a stage; infinite where it is not legal."""
        return np.where(legal, self.sent[:, None], np.inf)


def _table(graph: Graph, held: Sequence[int]) -> _Table:
    work = np.array(all_work(graph), np.float64)
    loads = np.array([_read_bytes(graph, op.reads) for op in graph.ops], np.float64) + held
    crossing = _crossing(graph)
    places = _places(crossing, loads / max(1.0, loads.sum()) + work / max(1.0, work.sum()))
    total = np.concatenate([[0.0], np.cumsum(work)])[places]
    return _Table(
        places, _weights(graph, places, held), np.maximum(0, total[None, :] - total[:, None]), crossing[places]
    )


def _read_bytes(graph: Graph, names: Iterable[str]) -> int:
    return sum(graph.values[name].nbytes for name in names if name in graph.weights)


def _crossing(graph: Graph) -> Numbers:
    """[ops + 1] bytes of values that are made before a cut and read after it; infinite where they cannot be sent."""
    changes = np.zeros(len(graph.ops) + 2)
    blocked = np.zeros(len(graph.ops) + 2)
    for name, made in _made(graph):
        last, value = graph.last_use.get(name, -1), graph.values.get(name)
        if value is not None and value.travels:
            first = made + 1 if made >= 0 else last + 1  # inputs go from rank 0 to where they are read
            changes[first] += value.nbytes
            changes[max(first, last + 1)] -= value.nbytes
        else:  # stays on the rank that makes it; an output, or an input, on rank 0
            first = 1 if name in graph.outputs else made + 1
            blocked[max(first, 1)] += 1
            blocked[max(first, 1, (made if name in graph.outputs else last) + 1)] -= 1
    sent: Numbers = np.where(np.cumsum(blocked) > 0, np.inf, np.cumsum(changes))[:-1]
    sent[[0, -1]] = 0.0
    return sent


def _made(graph: Graph) -> Iterator[tuple[str, int]]:
    """Each value and the op that makes it; -1 for inputs."""
    yield from ((name, -1) for name in graph.inputs)
    yield from ((name, i) for i, op in enumerate(graph.ops) for name in op.outputs if name)


def _places(crossing: Numbers, load: Numbers) -> NDArray[np.int64]:
    """Where cuts may be: of each stretch of equal load, the place that the fewest bytes cross."""
    before = np.concatenate([[0.0], np.cumsum(load)])
    bins = np.floor(before / max(before[-1], 1e-30) * _CUTS) if crossing.size > _CUTS else np.arange(crossing.size)
    order = np.lexsort((crossing, bins))
    first = order[np.unique(bins[order], return_index=True)[1]]
    inner = first[np.isfinite(crossing[first])]
    return np.unique(np.concatenate([[0, crossing.size - 1], inner])).astype(np.int64)


def _weights(graph: Graph, places: NDArray[np.int64], held: Sequence[int]) -> Numbers:
    """[cuts, cuts] bytes of the weights that the ops between two cuts read, each once."""
    own = np.array(held, np.float64)
    found = np.zeros((places.size, places.size))
    for name, readers in _readers(graph).items():
        nbytes = graph.values[name].nbytes
        if len(readers) == 1 or nbytes < _SHARED_BYTES:
            own[readers] += nbytes
            continue
        for before, reader in pairwise([-1, *readers]):
            low, high = np.searchsorted(places, [before + 1, reader + 1])
            found[low:high, high:] += nbytes
    total = np.concatenate([[0.0], np.cumsum(own)])[places]
    found += np.maximum(0.0, total[None, :] - total[:, None])
    return found


def _readers(graph: Graph) -> dict[str, list[int]]:
    readers: dict[str, list[int]] = {}
    for i, op in enumerate(graph.ops):
        for name in op.reads:
            if name in graph.weights:
                readers.setdefault(name, []).append(i)
    return readers


def _best(
    cost: Cost, combine: Callable[[Numbers, Numbers], Numbers], workers: int, groups: range
) -> tuple[float, Callable[[NDArray[np.int64]], Iterator[Stage]]]:
    """The least combined cost of all stages on at most so many ranks, and what gives the stages.

    cost: [cuts, cuts] of a stage between two cuts, by its number of ranks.
    """
    costs = {ranks: _upper(cost(ranks)) for ranks in groups}
    cuts = costs[1].shape[0]
    best = [np.concatenate([[0.0], np.full(cuts - 1, np.inf)])]
    chosen: list[dict[int, tuple[NDArray[np.intp], NDArray[np.intp]]]] = []
    for used in range(1, workers + 1):
        options = [combine(best[used - ranks][:, None], costs[ranks]) for ranks in groups if ranks <= used]
        froms = np.array([option.argmin(axis=0) for option in options])
        values = np.array([option[at, np.arange(cuts)] for option, at in zip(options, froms, strict=True)])
        group = values.argmin(axis=0)
        best.append(values[group, np.arange(cuts)])
        chosen.append({0: (group + 1, froms[group, np.arange(cuts)])})

    def stages(places: NDArray[np.int64]) -> Iterator[Stage]:
        found, used, at = [], workers, cuts - 1
        while used > 0:
            group, source = (array[at] for array in chosen[used - 1][0])
            found.append(Stage(int(places[source]), int(places[at]), int(group)))
            used, at = used - int(group), int(source)
        yield from (stage for stage in reversed(found) if stage.high > stage.low)

    return float(best[-1][-1]), stages


def _upper(cost: Numbers) -> Numbers:
    """Stages run forwards; one without ops costs nothing."""
    forwards = np.where(np.tri(cost.shape[0], k=-1, dtype=bool), np.inf, cost)
    np.fill_diagonal(forwards, 0.0)
    return forwards
