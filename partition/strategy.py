"""`auto`: of all ways to divide a model whose weights fit the workers, one that is cheap and sends little.

One worker: serial. A model that fits one worker and whose outputs all carry the samples: batch, which exchanges nothing
between scatter and gather. Else every other way is laid out and its exchanges and price predicted; of those that send
at most SLACK times the fewest bytes, the cheapest in US dollars is taken.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial

from partition.build import Layers, arrange
from partition.dealing import dealt
from partition.errors import UnsupportedModelError
from partition.forecast import forecast
from partition.graph import Graph
from partition.grid import Grid, grid_of
from partition.held import layout_bytes
from partition.layout import Layout, Part
from partition.moves import BY_BYTES, BY_COST, Tariff
from partition.planning import make_part, make_plan, scheduled, whole_layout
from partition.samples import sample_axes
from partition.search import Prices
from partition.traffic import traffic

SLACK = 1.05
MEMORY_BYTES = 1 << 30
_PRESSURE = 1e6  # bytes sent that a byte on the fullest rank is worth, when nothing else helps
_LARGE = 1500  # ops; a larger graph is searched less often
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Candidate:
    """One way to divide a model. spelled: whether a request can name it, as it is."""

    strategy: str
    layout: Layout
    spelled: bool = True

    @cached_property
    def sent_bytes(self) -> int:
        """What all ranks send for a request of the sizes to expect."""
        return sum(item.nbytes for item in traffic(self.layout, {}, {}))

    @cached_property
    def held_bytes(self) -> int:
        """Weights on the fullest rank."""
        return max(layout_bytes(self.layout))

    @cached_property
    def price(self) -> tuple[float, float]:
        """US dollars and seconds of a warm request on the queue channel."""
        found = forecast(self.layout, "queue")
        return found.usd, found.seconds


def resolve_auto(graph: Graph, layers: Layers, workers: int, limit: int | None) -> Candidate:
    """The division to compile.

    limit: weight bytes that a worker may hold; None = MEMORY_BYTES if anything fits that, else what holds least.

    Raises:
        UnsupportedModelError: if nothing fits.
    """
    if workers == 1:
        return _fitting([Candidate("serial", _arranged(graph, layers, "serial", 1))], limit)[0]
    most = MEMORY_BYTES if limit is None else limit
    if _weight_bytes(graph, layers) <= most and sample_axes(graph, workers) is not None:
        return Candidate("batch", _arranged(graph, layers, "batch", workers))
    found = _fitting(list(_candidates(graph, layers, workers, most)), limit)
    least = min((one.sent_bytes for one in found if one.spelled), default=min(one.sent_bytes for one in found))
    frugal = [one for one in found if one.sent_bytes <= SLACK * least]
    best = min(frugal, key=lambda one: (*one.price, one.sent_bytes))
    _log.info("auto: %s of %s", best.strategy, ", ".join(f"{one.strategy} {one.sent_bytes} B" for one in found))
    return best


def _fitting(found: list[Candidate], limit: int | None) -> list[Candidate]:
    """Those that fit; without a limit given, those that hold least if none does."""
    most = MEMORY_BYTES if limit is None else limit
    fits = [one for one in found if one.held_bytes <= most]
    least = min((one.held_bytes for one in found), default=0)
    if not fits and limit is not None:
        raise UnsupportedModelError(
            f"auto: expected at most {limit} bytes of weights on each of {found[0].layout.workers} workers, "
            f"the least that is possible is {least}"
        )
    return fits or [one for one in found if one.held_bytes == least]


def _weight_bytes(graph: Graph, layers: Layers) -> int:
    return graph.weight_bytes + sum(layer.weight.nbytes for chain in layers.values() for layer in chain)


def _arranged(graph: Graph, layers: Layers, strategy: str, workers: int) -> Layout:
    return arrange(graph, layers, grid_of(strategy, workers), make_part)


def _candidates(graph: Graph, layers: Layers, workers: int, most: int) -> Iterator[Candidate]:
    for strategy in ("row", "column"):
        yield Candidate(strategy, arrange(graph, layers, grid_of(strategy, workers), partial(within, most, BY_COST)))
    for tariff in (BY_COST, BY_BYTES):
        place = partial(within, most, tariff)
        yield Candidate("tensor", arrange(graph, layers, grid_of("tensor", workers), place), tariff == BY_COST)
    for grid in _grids(graph, layers, workers, most):
        place = partial(within, most, BY_COST)
        candidate = Candidate(str(grid), arrange(graph, layers, grid, place))
        if sum(nbytes > 0 for nbytes in layout_bytes(candidate.layout)) > 1:
            yield candidate


def within(most: int, tariff: Tariff, graph: Graph, layers: Layers, strategy: str, workers: int) -> Part:
    """A part that fits, if there is one: with pieces of unequal size, or all large weights divided, if need be."""
    for prices, divided in _attempts(graph, most, tariff, strategy, workers):
        plan = make_plan(graph, strategy, workers, prices, divided)
        part = scheduled(graph, layers, plan, workers)
        if not _fits(part, most):
            part = scheduled(graph, layers, replace(plan, choices=dealt(graph, plan.choices, workers)), workers)
        if _fits(part, most):
            break
    return part


def _fits(part: Part, most: int) -> bool:
    return max(layout_bytes(whole_layout(part))) <= most


def _attempts(
    graph: Graph, most: int, tariff: Tariff, strategy: str, workers: int
) -> Iterator[tuple[Prices | None, frozenset[str]]]:
    """Prices, and the weights that have to be divided, from what sends least to what holds least."""
    if strategy != "tensor":
        yield None, frozenset()
        return
    prices = Prices(tariff, copied=1.0 if tariff == BY_COST else 0.0)
    large = _large_weights(graph, most, workers)
    yield from [(prices, frozenset()), (prices, large), (replace(prices, held=_PRESSURE), large)]


def _large_weights(graph: Graph, most: int, workers: int) -> frozenset[str]:
    """Weights that have to be divided: all but the smallest, of which copies fill half of the room that is left."""
    read = dict.fromkeys(name for op in graph.ops for name in op.reads if name in graph.weights)
    by_size = sorted(read, key=lambda name: graph.values[name].nbytes)
    total = sum(graph.values[name].nbytes for name in read)
    room, large = (most - total / workers) / 2, set[str]()
    for name in by_size:
        room -= graph.values[name].nbytes * (1 - 1 / workers)
        if room < 0:
            large.add(name)
    return frozenset(large)


def _grids(graph: Graph, layers: Layers, workers: int, most: int) -> Iterator[Grid]:
    """Grids that may fit."""
    total = _weight_bytes(graph, layers)
    batch = sample_axes(graph, workers) is not None
    for outer in _divisors(workers):
        for middle in _divisors(workers // outer):
            grid = Grid(outer, middle, "tensor", workers // outer // middle)
            if grid.ranks == 1:
                grid = Grid(outer, middle)
            allowed = (batch or outer == 1) and outer < workers and grid.ranks < workers
            crowded = grid.ranks > 1 and len(graph.ops) > _LARGE
            if allowed and not crowded and total * outer <= most * workers * SLACK:
                yield grid


def _divisors(number: int) -> list[int]:
    return [size for size in range(1, number + 1) if number % size == 0]
