"""How a letter of a rule is divided, and what that means for every axis that carries it.

Most letters are divided element by element. Where an axis is several in one, such as `(h 64)`, only whole heads may be:
so the axis is divided in units of 64, and so must be whatever produces it, reads it or is added to it. `all_divisions`
carries these units through the graph, from the ops that have such axes to all that share a letter with them.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

from partition.graph import MEASURED_SLICES, Graph, Op
from partition.placement import Shard
from partition.rules import Letters, Rule
from partition.rules.facts import Dim
from partition.rules.rule import factors

# Query, key and value; the gates of an LSTM; gate and up of an MLP. With more blocks than that, an axis in the middle
# is rather a part of a head than a row of heads, and one more way of dividing it only slows the search.
MOST_BLOCKS = 4
_MOST_DIVISIONS = 6


@dataclass(frozen=True, order=True)
class Division:
    """A letter cut in whole multiples of `unit`, in each of `blocks` equal blocks."""

    unit: int = 1
    blocks: int = 1


PLAIN = Division()


@dataclass(frozen=True)
class Place:
    """Where a tensor carries a letter: `before` and `after` are the sizes of what shares the axis with it."""

    axis: int
    before: int = 1
    after: int = 1

    def shard(self, division: Division) -> Shard | None:
        """The axis, divided so; None for blocks within blocks."""
        if self.before > 1 and division.blocks > 1:
            return None
        return Shard(self.axis, division.unit * self.after, self.before * division.blocks)

    def division(self, shard: Shard) -> Division | None:
        """What a division of the axis means for the letter; None if it cuts through what is behind the letter."""
        if shard.axis != self.axis or shard.unit % self.after or self.before not in (1, shard.blocks):
            return None
        return Division(shard.unit // self.after, shard.blocks // self.before)


class OpAxes:
    """The axes of one op by the letters of its rule, with the sizes that the graph knows."""

    def __init__(self, graph: Graph, op: Op, rule: Rule, workers: int) -> None:
        self.rule, self.op, self._workers = rule, op, workers
        self._measures = graph.opsets.get("", 1) >= MEASURED_SLICES
        names, axes = (*op.inputs, *op.outputs), (*rule.inputs, *rule.outputs)
        self._tensors = [(name, a, _shape(graph, name)) for name, a in zip(names, axes, strict=True)]
        self._sizes = letter_sizes([(axes, shape) for name, axes, shape in self._tensors if name])
        self._places: dict[str, list[Place | None] | None] = {}
        self._shards: dict[tuple[str, Division], list[Shard | None] | None] = {}

    def places(self, letter: str) -> list[Place | None] | None:
        """Per input and output, where it carries the letter; None if that depends on a size that nobody knows."""
        if letter not in self._places:
            try:
                self._places[letter] = [self._place(axes, letter) for _, axes, _ in self._tensors]
            except LookupError:
                self._places[letter] = None
        return self._places[letter]

    def _place(self, axes: Letters, letter: str) -> Place | None:
        for i, parts in enumerate(map(factors, axes)):
            if letter in parts:
                at = parts.index(letter)
                return Place(i, self._product(parts[:at]), self._product(parts[at + 1 :]))
        return None

    def _product(self, parts: tuple[str, ...]) -> int:
        return math.prod(int(part) if part.isdigit() else self._sizes[part] for part in parts)

    def shards(self, letter: str, division: Division) -> list[Shard | None] | None:
        """Per input and output the division of its axis, None where it has no such letter; None if it cannot be had."""
        if (letter, division) not in self._shards:
            self._shards[letter, division] = self._divided(letter, division)
        return self._shards[letter, division]

    def _divided(self, letter: str, division: Division) -> list[Shard | None] | None:
        places = self.places(letter)
        if places is None or any(place and place.before > MOST_BLOCKS for place in places):
            return None
        found = [place.shard(division) if place else None for place in places]
        if any(place and shard is None for place, shard in zip(places, found, strict=True)):
            return None
        if not self._suffices(letter, division) or not all(map(self._fits, self._tensors, found)):
            return None
        named = zip(found, self._tensors, strict=True)
        return [shard and shard.canonical(_size(shape, shard.axis), self._workers) for shard, (_, _, shape) in named]

    def _suffices(self, letter: str, division: Division) -> bool:
        """Whether no rank goes without where it must not, and what is counted can be counted by each rank."""
        rule, size = self.rule, self._sizes.get(letter)
        counts = [int(self.op.attributes[name]) for name in rule.units.get(letter, ())]
        if (letter not in rule.solid and not counts and letter not in rule.guard) or self.is_guarded(letter):
            return True
        if size is None or size // (division.unit * division.blocks) < self._workers:
            return False
        return not counts or (division.blocks == 1 and all(count % size == 0 for count in counts))

    def is_guarded(self, letter: str) -> bool:
        """Whether the request chooses how much there is of a letter of which the op needs some."""
        return letter in self.rule.guard and letter not in self._sizes and self._measures

    def _fits(self, tensor: tuple[str, Letters, tuple[Dim, ...]], shard: Shard | None) -> bool:
        """Whether the axis is whole units, at least one for each rank; what is divided by elements may be empty.

        A tensor of unknown rank could not be put together again.
        """
        if shard is None or not tensor[0]:
            return True
        size = _size(tensor[2], shard.axis)
        if not isinstance(size, int) or (shard.unit == 1 and shard.blocks == 1):
            return bool(tensor[2])
        units, rest = divmod(size, shard.unit * shard.blocks)
        return not rest and units >= self._workers

    def local_units(self, letter: str, division: Division) -> tuple[tuple[str, Shard], ...]:
        """Attributes that each rank has a part of, and how they are divided."""
        counts = {n: int(self.op.attributes[n]) // self._sizes[letter] for n in self.rule.units.get(letter, ())}
        return tuple((name, Shard(0, count * division.unit)) for name, count in counts.items())

    def axes_of(self, letter: str, op: Op) -> Iterator[tuple[str, Place]]:
        """(value, place) of every tensor of the op, or of one that is alike, that carries the letter."""
        for name, place in zip((*op.inputs, *op.outputs), self.places(letter) or (), strict=False):
            if name and place:
                yield name, place


def _shape(graph: Graph, name: str) -> tuple[Dim, ...]:
    value = graph.values.get(name)
    return (value.shape or ()) if value else ()


def _size(shape: tuple[Dim, ...], axis: int) -> Dim:
    return shape[axis] if axis < len(shape) else None


def letter_sizes(tensors: Sequence[tuple[Letters, tuple[Dim, ...]]]) -> dict[str, int]:
    """Sizes of letters: of an axis of its own, else what is left of one that it shares."""
    axes = [(factors(a), size) for t, shape in tensors for a, size in zip(t, shape, strict=False)]
    known = {parts[0]: size for parts, size in axes if len(parts) == 1 and isinstance(size, int)}
    for parts, size in axes:
        open_parts = [part for part in parts if not part.isdigit() and part not in known]
        rest = math.prod(int(p) if p.isdigit() else known[p] for p in parts if p not in open_parts)
        if len(open_parts) == 1 and isinstance(size, int) and rest and size % rest == 0:
            known[open_parts[0]] = size // rest
    return known


Found = dict[tuple[str, int], dict[Shard, None]]
Divisions = dict[str, tuple[Division, ...]]


def all_divisions(graph: Graph, rules: Sequence[Rule | None], workers: int) -> list[Divisions]:
    """For every op, per letter, the divisions that are worth a choice: by elements, and what its neighbours need."""
    touching: dict[str, list[int]] = {}
    for i, op in enumerate(graph.ops):
        for name in {*op.inputs, *op.outputs} - {""}:
            touching.setdefault(name, []).append(i)
    found: Found = {}
    axes = _LazyAxes(graph, rules, workers)
    waiting = dict.fromkeys(i for i, rule in enumerate(rules) if rule and rule.is_composite)
    while waiting:
        i = next(iter(waiting))
        del waiting[i]
        op_axes = axes.of(i)
        for name in _carried(op_axes, graph.ops[i], found) if op_axes else ():
            waiting.update(dict.fromkeys(touching[name]))
    named = {name for (name, _), shards in found.items() if shards}
    return [_divisions_of(axes, i, found, named) for i in range(len(graph.ops))]


class _LazyAxes:
    """The axes of those ops that are asked for: most have no neighbour with axes that are several in one."""

    def __init__(self, graph: Graph, rules: Sequence[Rule | None], workers: int) -> None:
        self._graph, self._workers, self.rules = graph, workers, rules
        self._known: dict[int, OpAxes] = {}
        self._plain: dict[int, Divisions] = {}

    def of(self, index: int) -> OpAxes | None:
        """Axes as the op has them, perhaps those of another that is alike; None if it has no rule."""
        op, rule = self._graph.ops[index], self.rules[index]
        kind = self._graph.kinds[op]
        if rule is not None and kind not in self._known:
            self._known[kind] = OpAxes(self._graph, op, rule, self._workers)
        return self._known.get(kind)

    def op(self, index: int) -> Op:
        """The op itself."""
        return self._graph.ops[index]

    def touches(self, index: int, names: Container[str]) -> bool:
        """Whether the op reads or makes one of these values."""
        op = self.op(index)
        return any(name in names for name in op.inputs) or any(name in names for name in op.outputs)

    def plain(self, rule: Rule) -> Divisions:
        """By elements alone; one object for each rule."""
        if id(rule) not in self._plain:
            self._plain[id(rule)] = dict.fromkeys(rule.letters, (PLAIN,))
        return self._plain[id(rule)]


def _divisions_of(axes: _LazyAxes, index: int, found: Found, named: Container[str]) -> Divisions:
    rule = axes.rules[index]
    if rule is None:
        return {}
    op_axes = axes.of(index) if axes.touches(index, named) else None
    return _divisions(op_axes, axes.op(index), found) if op_axes else axes.plain(rule)


def _carried(axes: OpAxes, op: Op, found: Found) -> Iterator[str]:
    """Note what each letter's divisions mean for every axis that carries it; gives the values that are new to it."""
    for letter, divisions in _divisions(axes, op, found).items():
        for division in divisions:
            shards = axes.shards(letter, division) or ()
            for name, shard in ((n, s) for n, s in zip((*op.inputs, *op.outputs), shards, strict=False) if s):
                known = found.setdefault((name, shard.axis), {})
                special = shard != Shard(shard.axis) and len(known) < _MOST_DIVISIONS
                if name and special and shard not in known:
                    known[shard] = None
                    yield name


def _divisions(axes: OpAxes, op: Op, found: Found) -> Divisions:
    """Per letter, by elements and as its axes are divided elsewhere."""
    result = {}
    for letter in axes.rule.letters:
        seen = {PLAIN: None}
        for name, place in axes.axes_of(letter, op):
            wanted = map(place.division, found.get((name, place.axis), ()))
            seen.update(dict.fromkeys(division for division in wanted if division))
        result[letter] = tuple(seen)
    return result
