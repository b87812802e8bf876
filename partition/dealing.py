"""Pieces of unequal size, so that the ranks' weights come out even.

Heads, groups of keys and values, and experts stay whole, so 4 heads on 3 ranks are 2, 1 and 1. Lots are dealt one after
another, coarse ones first, each in the proportions that would make all ranks hold the same in the end: so another rank
gets the extra head in the next layer, and what is still uneven then is made up for by what has fine units, such as the
hidden units of MLPs and the words of tables.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence

from engine.split import split_bounds
from partition.choices import Choice
from partition.graph import Graph
from partition.lots import Deal, Lot, Lots
from partition.pieces import piece_bytes
from partition.work import work_by_rank

_ROUNDING = 1e-9


def dealt(graph: Graph, choices: Sequence[Choice], workers: int) -> tuple[Choice, ...]:
    """The choices with pieces of such sizes that the ranks' weights are even.

    They stay as they are where the busiest rank would compute more than before.
    """
    lots = Lots(graph, choices)
    weights = {lot: nbytes for lot in lots.all() if lot.units >= workers and (nbytes := _weight_bytes(graph, lot))}
    deals = {
        lot: deal
        for lot, deal in _deals(weights, _fixed(graph, choices, weights, workers))
        if deal != _evenly(lot.units, workers)
    }
    new = lots.changed(deals)
    busiest = max(work_by_rank(graph, choices, workers)) * (1 + _ROUNDING)
    return new if max(work_by_rank(graph, new, workers)) <= busiest else tuple(choices)


def _weight_bytes(graph: Graph, lot: Lot) -> int:
    return sum(graph.values[name].nbytes for name, _ in lot.pieces if name in graph.weights)


def _fixed(graph: Graph, choices: Sequence[Choice], lots: Collection[Lot], workers: int) -> list[int]:
    """Bytes of weights by rank of all that is in none of the lots."""
    dealt_pieces = {piece for lot in lots for piece in lot.pieces}
    placed = {
        (name, placement)
        for op, choice in zip(graph.ops, choices, strict=True)
        for name, placement in choice.needs(op)
        if name in graph.weights and (name, placement) not in dealt_pieces
    }
    pieces = [piece_bytes(graph, name, placement, workers) or () for name, placement in placed]
    return list(map(sum, zip((0,) * workers, *pieces, strict=True)))


def _deals(weights: dict[Lot, int], fixed: Sequence[int]) -> Iterator[tuple[Lot, Deal]]:
    """How many units of each lot each rank gets.

    weights: bytes of the lots; fixed: bytes that ranks hold besides.
    """
    held, left = [float(nbytes) for nbytes in fixed], sum(weights.values())
    for lot in sorted(weights, key=lambda lot: -weights[lot] / lot.units):
        level = (sum(held) + left) / len(held)
        deal = _apportioned(lot.units, [max(0.0, level - nbytes) for nbytes in held])
        held = [nbytes + weights[lot] * own / lot.units for nbytes, own in zip(held, deal, strict=True)]
        left -= weights[lot]
        yield lot, deal


def _apportioned(units: int, wanted: Sequence[float]) -> Deal:
    """Whole units in these proportions by largest remainders, at least one for each."""
    more = [max(0.0, units * part / sum(wanted) - 1) for part in wanted]
    spare = units - len(wanted)
    exact = [part * spare / (sum(more) or 1.0) for part in more]
    deal = [math.floor(part + _ROUNDING) for part in exact]
    shortest = sorted(range(len(deal)), key=lambda rank: (round(deal[rank] - exact[rank], 9), rank))
    for rank in shortest[: spare - sum(deal)]:
        deal[rank] += 1
    return tuple(1 + own for own in deal)


def _evenly(units: int, parts: int) -> Deal:
    return tuple(high - low for low, high in split_bounds(units, parts))
