"""Arrange a model on a grid: groups that share the samples, in them stages, in those ranks that divide every op.

Each level only brings values to where the next one begins: to the first rank of a group.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from partition.graph import Graph, Op
from partition.grid import Grid
from partition.layout import Cut, Hop, Item, Layout, Part, Section
from partition.policy import batch_inputs
from partition.samples import on_some_samples, sample_axes
from partition.sparse.layers import SparseLayer
from partition.sparse.layerwise import apart, joined
from partition.stages import Stage, cut_stages

Layers = Mapping[Op, tuple[SparseLayer, ...]]
Place = Callable[[Graph, Layers, str, int], Part]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _Group:
    """A graph to be computed by some ranks, and the suffix of its inputs' and outputs' names on the first of them."""

    graph: Graph
    layers: Layers
    ranks: tuple[int, ...]
    suffix: str = ""

    @property
    def root(self) -> int:
        return self.ranks[0]


def arrange(graph: Graph, layers: Layers, grid: Grid, place: Place) -> Layout:
    """Everything that the grid's workers do.

    place: chooses how each op of a graph is computed by a number of ranks, by the name of a strategy.
    """
    everybody = _Group(graph, layers, tuple(range(grid.workers)))
    items = _by_batch(everybody, grid, place) if grid.batch > 1 else _by_stage(everybody, grid, place)
    return Layout(graph, tuple(items), grid.workers)


def _by_batch(group: _Group, grid: Grid, place: Place) -> Iterator[Item]:
    """Samples are scattered over groups, which do the same."""
    size = len(group.ranks) // grid.batch
    parts = [group.ranks[i * size : (i + 1) * size] for i in range(grid.batch)]
    axes = sample_axes(group.graph, grid.batch)
    if axes is None:
        _log.warning("strategy %s: no axis of samples can be followed: %d ranks idle", grid, len(group.ranks) - size)
        yield from _by_stage(replace(group, ranks=parts[0]), grid, place)
        return
    roots, suffix = tuple(part[0] for part in parts), f"{group.suffix}/part"
    graph = on_some_samples(group.graph, axes)

    def hop(name: str, kind: str, source: str, target: str) -> Hop:
        return Hop(kind, name, name + source, name + target, group.root, roots, axes.get(name, 0))  # type: ignore[arg-type]

    for name in graph.inputs:
        yield hop(name, "scatter" if name in axes else "broadcast", group.suffix, suffix)
    first = list(_by_stage(replace(group, graph=graph, ranks=parts[0], suffix=suffix), grid, place))
    for part in parts:
        yield from (_shifted(item, part[0] - group.root) for item in first)
    for name in graph.outputs:
        yield hop(name, "gather", suffix, group.suffix)


def _shifted(item: Item, by: int) -> Item:
    """The same on other ranks."""
    if isinstance(item, Section):
        return replace(item, ranks=tuple(rank + by for rank in item.ranks))
    if isinstance(item, Hop):
        return replace(item, root=item.root + by, group=tuple(rank + by for rank in item.group))
    return replace(item, rank=item.rank + by)


def _by_stage(group: _Group, grid: Grid, place: Place) -> Iterator[Item]:
    if grid.stages == 1:
        part = place(group.graph, group.layers, grid.within, len(group.ranks))
        yield Section(part, group.ranks, group.suffix)
        return
    graph, layers = apart(group.graph, group.layers)
    held = [sum(layer.weight.nbytes for layer in layers.get(op, ())) for op in graph.ops]
    cuts = cut_stages(graph, grid.stages, held)
    layerwise = replace(group, graph=graph, layers=layers)
    yield from _Pipeline(layerwise, list(_stages(layerwise, cuts, grid)), grid, place).items()


def _stages(group: _Group, cuts: tuple[Stage, ...], grid: Grid) -> Iterator[_Group]:
    """Each stage as a graph of its own, on ranks of its own."""
    graph, taken = group.graph, 0
    needed = _needed(graph, cuts)
    for cut, wanted in zip(cuts, needed, strict=True):
        ops = graph.ops[cut.low : cut.high]
        made = dict.fromkeys(name for op in ops for name in op.outputs if name)
        read = dict.fromkeys(name for op in ops for name in op.reads)
        inputs = tuple(name for name in read if name not in made and not graph.is_weight(name))
        outputs = tuple(name for name in made if name in wanted)
        values = {name: graph.values[name] for name in (*inputs, *read, *made) if name in graph.values}
        part = replace(graph, ops=ops, inputs=inputs, outputs=outputs, values=values)
        ranks = group.ranks[taken : taken + cut.ranks * grid.ranks]
        taken += cut.ranks * grid.ranks
        own = {op: group.layers[op] for op in ops if op in group.layers}
        whole, layers = joined(part, own) if own else (part, {})
        yield _Group(whole, layers, ranks, group.suffix)


def _needed(graph: Graph, cuts: tuple[Stage, ...]) -> list[set[str]]:
    """Per stage, the values that somebody behind it reads."""
    found: list[set[str]] = []
    later = set(graph.outputs)
    for cut in reversed(cuts):
        found.append(set(later))
        later |= {name for op in graph.ops[cut.low : cut.high] for name in op.reads}
    return found[::-1]


@dataclass(eq=False)
class _Pipeline:
    """Stages one after another; while one works on a part of the samples, the one before it works on the next part.

    A part is told by its number, behind the suffix of the group's values.
    """

    group: _Group
    stages: list[_Group]
    grid: Grid
    place: Place
    axes: Mapping[str, int] = field(default_factory=dict)

    def items(self) -> Iterator[Item]:
        """In an order in which nobody waits for what is sent later: by turns, the last stage first."""
        turns = self._turns()
        parts = [self._part(stage) for stage in self.stages]
        yield from self._inputs(turns)
        for tick in range(turns + len(self.stages) - 1):
            busy = [(i, tick - i) for i in reversed(range(len(self.stages))) if 0 <= tick - i < turns]
            for i, turn in busy:
                yield self._section(parts[i], self.stages[i], self._suffix(turn, turns))
            for i, turn in busy:
                yield from self._onwards(i, self._suffix(turn, turns))
        yield from self._outputs(turns)

    def _turns(self) -> int:
        """Parts of the samples: as many as stages, where every op can follow them."""
        count = _samples(self.group.graph)
        turns = min(len(self.stages), count) if isinstance(count, int) else len(self.stages)
        axes = sample_axes(self.group.graph, turns * self.grid.batch) if turns > 1 else None
        if axes is None or not set(self.group.graph.outputs).isdisjoint(self.group.graph.inputs):
            return 1
        self.axes = axes
        return turns

    def _suffix(self, turn: int, turns: int) -> str:
        return self.group.suffix if turns == 1 else f"{self.group.suffix}#{turn}"

    def _part(self, stage: _Group) -> Part:
        graph = on_some_samples(stage.graph, {n: a for n, a in self.axes.items() if n in stage.graph.values})
        shared = len(stage.ranks) > self.grid.ranks
        within = "row" if shared and self.grid.within == "serial" else self.grid.within
        return self.place(graph, stage.layers, within, len(stage.ranks))

    def _section(self, part: Part, stage: _Group, suffix: str) -> Section:
        whole = (name for name in stage.graph.inputs if name not in self.axes and name in self.group.graph.inputs)
        return Section(part, stage.ranks, suffix, dict.fromkeys(whole, self.group.suffix))

    def _inputs(self, turns: int) -> Iterator[Item]:
        """The group's inputs to the stages that read them, whole, and cut there."""
        read = [(stage, frozenset(stage.graph.inputs)) for stage in self.stages]
        for name in self.group.graph.inputs:
            for stage, names in read:
                if name in names:
                    yield from self._send(name, self.group.suffix, self.group.root, stage.root)
                    if turns > 1 and name in self.axes:
                        yield self._cut(name, stage.root, turns, joins=False)

    def _send(self, name: str, suffix: str, source: int, target: int) -> Iterator[Hop]:
        if source != target:
            yield Hop("send", name, name + suffix, name + suffix, source, (source, target))

    def _cut(self, name: str, rank: int, turns: int, joins: bool) -> Cut:
        pieces = tuple(name + self._suffix(turn, turns) for turn in range(turns))
        return Cut(name, name + self.group.suffix, pieces, rank, self.axes[name], joins)

    def _onwards(self, number: int, suffix: str) -> Iterator[Hop]:
        """What a stage has made to the later stages that read it."""
        source = self.stages[number]
        later = [(target, frozenset(target.graph.inputs)) for target in self.stages[number + 1 :]]
        for name in source.graph.outputs:
            for target, read in later:
                if name in read:
                    yield from self._send(name, suffix, source.root, target.root)

    def _outputs(self, turns: int) -> Iterator[Item]:
        """The group's outputs to its first rank, joined before."""
        made = [(stage, frozenset(stage.graph.outputs)) for stage in self.stages]
        for name in self.group.graph.outputs:
            for stage, names in made:
                if name in names:
                    if turns > 1:
                        yield self._cut(name, stage.root, turns, joins=True)
                    yield from self._send(name, self.group.suffix, stage.root, self.group.root)


def _samples(graph: Graph) -> int | str | None:
    """The number of samples, if the model says."""
    shapes = [graph.values[name].shape for name in batch_inputs(graph)]
    return next((shape[0] for shape in shapes if shape), None)
