"""What of a plan is divided together: its lots.

The pieces of all that an op takes and makes along one letter are in proportion to each other; so are those of what
other ops read or made in the same pieces. Such a lot (an attention's weights and heads, say) can be divided in
other proportions without another exchange, and nothing else changes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from partition.choices import Choice
from partition.graph import Graph, Op
from partition.placement import Placement, Shard
from partition.rules.facts import Dim

Deal = tuple[int, ...]
_Piece = tuple[str, Shard]


@dataclass(eq=False)
class Lot:
    """Pieces that keep their proportions.

    units:  in how many equal units all of them can be divided; 0 = only as they are.
    pieces: (value, how it is divided) of each.
    """

    units: int = 0
    pieces: dict[_Piece, None] = field(default_factory=dict)


class Lots:
    """The lots of a plan's choices."""

    def __init__(self, graph: Graph, choices: Sequence[Choice]) -> None:
        self._graph, self._choices = graph, choices
        self._parents: dict[_Piece, _Piece] = {}
        self._found: dict[_Piece, Lot] = {}
        for op, choice in zip(graph.ops, choices, strict=True):
            self._join(list(_pieces(op, choice)))
        for piece in list(self._parents):
            self._found.setdefault(self._root(piece), Lot()).pieces[piece] = None
        counts: dict[Lot, list[int]] = {lot: [self._units(*piece) for piece in lot.pieces] for lot in self.all()}
        for op, choice in zip(graph.ops, choices, strict=True):
            for piece in list(_pieces(op, choice))[:1]:
                counts[self._found[self._root(piece)]] += _counted(op, choice)
        for lot, units in counts.items():
            lot.units = math.gcd(*units) if all(units) else 0

    def all(self) -> tuple[Lot, ...]:
        """Every lot once, in the order of the graph."""
        return tuple(self._found.values())

    def changed(self, deals: Mapping[Lot, Deal]) -> tuple[Choice, ...]:
        """The choices with lots divided so: how many units each rank gets of it."""
        return tuple(self._changed(deals, op, c) for op, c in zip(self._graph.ops, self._choices, strict=True))

    def _join(self, pieces: Sequence[_Piece]) -> None:
        for piece in pieces:
            self._parents[self._root(piece)] = self._root(pieces[0])

    def _root(self, piece: _Piece) -> _Piece:
        root = piece
        while (parent := self._parents.setdefault(root, root)) != root:
            root = parent
        while piece != root:
            self._parents[piece], piece = root, self._parents[piece]
        return root

    def _size(self, name: str, axis: int) -> Dim:
        value = self._graph.values.get(name)
        shape = (value.shape if value else None) or ()
        return shape[axis] if axis < len(shape) else None

    def _units(self, name: str, shard: Shard) -> int:
        return _units_of(shard, self._size(name, shard.axis))

    def _changed(self, deals: Mapping[Lot, Deal], op: Op, choice: Choice) -> Choice:
        pieces = list(_pieces(op, choice))
        deal = deals.get(self._found[self._root(pieces[0])]) if pieces else None
        if deal is None:
            return choice

        def placed(names: Sequence[str], placements: Sequence[Placement]) -> tuple[Placement, ...]:
            pairs = zip(names, placements, strict=True)
            return tuple(_dealt(p, self._size(n, p.axis), deal) if n and isinstance(p, Shard) else p for n, p in pairs)

        units = tuple((name, _dealt(division, op.attributes[name], deal)) for name, division in choice.units)
        return replace(
            choice, inputs=placed(op.inputs, choice.inputs), outputs=placed(op.outputs, choice.outputs), units=units
        )


def _pieces(op: Op, choice: Choice) -> Iterator[_Piece]:
    pairs = zip((*op.inputs, *op.outputs), (*choice.inputs, *choice.outputs), strict=True)
    yield from ((name, placement) for name, placement in pairs if name and isinstance(placement, Shard))


def _units_of(shard: Shard, size: Dim) -> int:
    """Units in each block; 0 = not known."""
    units, rest = divmod(size, shard.unit * shard.blocks) if isinstance(size, int) else (0, 0)
    return 0 if rest else units


def _counted(op: Op, choice: Choice) -> list[int]:
    """Units of what attributes count; a kernel that divides by itself must be left alone."""
    own = [] if choice.mode == "split" and not choice.directed else [0]
    return own + [_units_of(division, op.attributes[name]) for name, division in choice.units]


def _dealt(shard: Shard, size: Dim, deal: Deal) -> Shard:
    assert isinstance(size, int), "only axes of known size are dealt"
    return replace(shard, unit=size // shard.blocks // sum(deal), deal=deal)
