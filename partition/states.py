"""Sets of placements as the search handles them: one object per set, so that comparing states costs next to nothing."""

from __future__ import annotations

from random import Random

from partition.graph import Cargo
from partition.moves import Tariff, cheapest_route
from partition.placement import Placement


class Held:
    """Where a value is. Equal sets are the same object, made by Holdings.

    number, mark: a small and a large number of its own; 0 = nowhere.
    """

    __slots__ = ("mark", "number", "placements")

    def __init__(self, placements: frozenset[Placement], number: int, mark: int) -> None:
        self.placements, self.number, self.mark = placements, number, mark

    def __contains__(self, placement: Placement) -> bool:
        return placement in self.placements


class Holdings:
    """All sets of placements of a search, and what it costs to get from one to another."""

    def __init__(self, workers: int, tariff: Tariff) -> None:
        self._workers, self._tariff = workers, tariff
        self._known: dict[frozenset[Placement], Held] = {}
        self._acquired: dict[tuple[Held, Placement, Cargo], tuple[float, Held] | None] = {}
        self._converted: dict[tuple[Held, Held, Cargo], float] = {}
        self._marks = Random(0)  # the same search for the same graph
        self.nothing = self._make(frozenset())

    def of(self, *placements: Placement) -> Held:
        """The set of these placements."""
        return self._make(frozenset(placements))

    def also(self, held: Held, *placements: Placement) -> Held:
        """The set with these added."""
        return self._make(held.placements.union(placements))

    def _make(self, placements: frozenset[Placement]) -> Held:
        if placements not in self._known:
            mark = self._marks.getrandbits(64) if placements else 0
            self._known[placements] = Held(placements, len(self._known), mark)
        return self._known[placements]

    def acquire(self, held: Held, wanted: Placement, cargo: Cargo) -> tuple[float, Held] | None:
        """What it costs to have a value also as wanted, and where it is then; None = impossible."""
        key = (held, wanted, cargo)
        if key not in self._acquired:
            route = cheapest_route(held.placements, wanted, cargo, self._workers, self._tariff)
            targets = [move.target for move in route.moves] if route else []
            self._acquired[key] = (route.cost, self.also(held, wanted, *targets)) if route else None
        return self._acquired[key]

    def conversion(self, source: Held, target: Held, cargo: Cargo) -> float:
        """At most what it costs to have a value in every place of `target` too; infinite if that cannot be."""
        key = (source, target, cargo)
        if key not in self._converted:
            costs = [self.acquire(source, wanted, cargo) for wanted in target.placements]
            self._converted[key] = sum(cost[0] if cost else float("inf") for cost in costs)
        return self._converted[key]
