"""What a layout sends, predicted: the layout is walked through with the shapes of one request instead of its values.

For dense values the bytes are those that the ranks will send, exactly. What sparse layers send depends on how many
samples are live: all of them are assumed to be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from engine.split import split_bounds
from partition.graph import Graph, ValueInfo
from partition.layout import Cut, Hop, Item, Layout, Part, Section
from partition.moves import Move, messages, rounds, sent_bytes
from partition.placement import REPLICATE, ROOT, Placement, Shard, Single
from partition.samples import SOME_SAMPLES
from partition.schedule import Chain, Transfer
from partition.sizes import sized
from partition.sparse.plan import ChainPlan
from partition.sparse.relays import Relay

Shape = tuple[int, ...]
_LIVE_BYTES = 4  # a live tensor's number of each sample


@dataclass(frozen=True)
class Sent:
    """One exchange.

    value:    what moves, as the graph calls it.
    ranks:    that take part.
    nbytes:   of tensors that all of them send, before encoding; messages, rounds: how many.
    relayed:  the kinds of channel on which one rank hands on what the others send.
    after:    the op levels of its part that come before it: its place in the part.
    section:  number of the layout's item that it belongs to.
    """

    kind: str
    value: str
    ranks: tuple[int, ...]
    nbytes: int
    messages: int
    rounds: int
    section: int
    after: int = 0
    exact: bool = True
    relayed: tuple[str, ...] = ()


def traffic(layout: Layout, shapes: Mapping[str, Shape], sizes: Mapping[str, int]) -> tuple[Sent, ...]:
    """Every exchange of a request, in order.

    shapes: of the request's inputs by name; where one is not given, its symbols' `sizes`, else NOMINAL_SIZE.
    """
    return tuple(_Walk(layout, shapes, sizes).run())


class _Walk:
    """shapes: of what ranks hold, by rank and the program's name for it."""

    def __init__(self, layout: Layout, shapes: Mapping[str, Shape], sizes: Mapping[str, int]) -> None:
        self._layout = layout
        self._graph = sized(layout.graph, sizes, shapes)
        self._shapes = {(0, name): self._graph.values[name].cargo.dims for name in layout.graph.inputs}
        self._sized: dict[tuple[Part, tuple[int, int]], Graph] = {}

    def run(self) -> Iterator[Sent]:
        for number, item in enumerate(self._layout.items):
            yield from self._item(number, item)

    def _item(self, number: int, item: Item) -> Iterator[Sent]:
        if isinstance(item, Section):
            yield from self._section(number, item)
        elif isinstance(item, Hop):
            yield from self._hop(number, item)
        else:
            self._cut(item)

    def _section(self, number: int, section: Section) -> Iterator[Sent]:
        graph = self._sizes(section)
        for name in section.part.graph.outputs:
            self._shapes[section.ranks[0], section.name(name)] = graph.values[name].cargo.dims
        for after, level in enumerate(section.part.levels):
            for item in level.after:
                if isinstance(item, Transfer):
                    yield _transfer(item, graph, section, number, after)
                else:
                    yield from _chain(item, section.part.chains[item], graph, section, number, after)

    def _sizes(self, section: Section) -> Graph:
        """The section's graph with the sizes of the request, and of its part of the samples."""
        graph, root = section.part.graph, section.ranks[0]
        inputs = [(name, self._shapes.get((root, section.name(name)))) for name in graph.inputs]
        part = next((found for name, shape in inputs if shape and (found := self._samples(graph, name, shape))), (1, 1))
        if graph is self._layout.graph and part[0] == part[1]:
            return self._graph
        if (section.part, part) not in self._sized:
            values = {name: value.expecting(self._part_of(name, value, part)) for name, value in graph.values.items()}
            self._sized[section.part, part] = replace(graph, values=values)
        return self._sized[section.part, part]

    def _samples(self, graph: Graph, name: str, shape: Shape) -> tuple[int, int] | None:
        """Samples of a part, of how many: told by an input that is cut."""
        whole, value = self._graph.values[name].cargo.dims, graph.values[name]
        axis = next((i for i, dim in enumerate(value.shape or ()) if dim == SOME_SAMPLES), None)
        return None if axis is None else (shape[axis], whole[axis])

    def _part_of(self, name: str, value: ValueInfo, part: tuple[int, int]) -> Shape | None:
        """The value's shape in the request; an axis of samples as long as the part has them."""
        whole = self._graph.values[name].expected if name in self._graph.values else None
        if whole is None or len(whole) != len(value.shape or ()) or part[0] == part[1]:
            return whole
        pairs = zip(value.shape or (), whole, strict=True)
        return tuple(size * part[0] // max(1, part[1]) if dim == SOME_SAMPLES else size for dim, size in pairs)

    def _hop(self, number: int, hop: Hop) -> Iterator[Sent]:
        if hop.kind == "gather":
            parts = [self._shapes[rank, hop.source] for rank in hop.group]
            total = sum(part[hop.axis] for part in parts)
            self._shapes[hop.root, hop.target] = _resized(parts[0], hop.axis, total)
        else:
            whole = self._shapes[hop.root, hop.source]
            for rank, part in zip(hop.group, _pieces(hop, whole), strict=True):
                self._shapes[rank, hop.target] = part
            parts = [self._shapes[rank, hop.target] for rank in hop.group]
        item_bytes = self._layout.graph.values[hop.value].cargo.item_bytes
        sent = sum(
            int(np.prod(part, dtype=np.int64)) for rank, part in zip(hop.group, parts, strict=True) if rank != hop.root
        )
        count = len(hop.group) - 1
        exact = _is_known(self._graph, hop.value)
        yield Sent(hop.kind, hop.value, hop.group, sent * item_bytes, count, int(count > 0), number, exact=exact)

    def _cut(self, cut: Cut) -> None:
        if cut.joins:
            parts = [self._shapes[cut.rank, name] for name in cut.pieces]
            total = sum(part[cut.axis] for part in parts)
            self._shapes[cut.rank, cut.whole] = _resized(parts[0], cut.axis, total)
            return
        whole = self._shapes[cut.rank, cut.whole]
        bounds = split_bounds(whole[cut.axis], len(cut.pieces))
        for name, (low, high) in zip(cut.pieces, bounds, strict=True):
            self._shapes[cut.rank, name] = _resized(whole, cut.axis, high - low)


def _pieces(hop: Hop, whole: Shape) -> Iterable[Shape]:
    """What each of the group has after it; the sender of a single value keeps it."""
    if hop.kind != "scatter":
        return [whole] * len(hop.group)
    bounds = split_bounds(whole[hop.axis], len(hop.group))
    return [_resized(whole, hop.axis, high - low) for low, high in bounds]


def _resized(shape: Shape, axis: int, size: int) -> Shape:
    return (*shape[:axis], size, *shape[axis + 1 :])


def _transfer(item: Transfer, graph: Graph, section: Section, number: int, after: int) -> Sent:
    cargo, workers = graph.values[item.value].cargo, section.part.workers
    return Sent(
        item.move.kind,
        item.value,
        section.ranks,
        sent_bytes(item.move, cargo, workers),
        messages(item.move, cargo, workers),
        rounds(item.move, cargo, workers),
        number,
        after,
        exact=_is_known(graph, item.value),
    )


def _is_known(graph: Graph, name: str) -> bool:
    """Whether the shape is known, not estimated."""
    value = graph.values[name]
    return value.expected is not None or value.shape == ()


def _chain(chain: Chain, plan: ChainPlan, graph: Graph, section: Section, number: int, after: int) -> Iterator[Sent]:
    """The exchanges of a sparse chain, as if all samples were live."""
    samples = graph.values[chain.op.inputs[0]].cargo.dims[:1]
    item_bytes = graph.values[chain.op.inputs[0]].cargo.item_bytes

    def rows(name: str, between: np.ndarray[tuple[int, ...], np.dtype[np.int64]], relay: Relay) -> Iterator[Sent]:
        travelling = between - np.diag(np.diag(between))
        pairs, count = int(np.count_nonzero(travelling)), int(travelling.sum())
        if pairs:
            per_row, per_message = int(np.prod(samples)) * item_bytes, int(np.prod(samples)) * _LIVE_BYTES
            nbytes = count * per_row + pairs * per_message
            yield Sent("rows", name, section.ranks, nbytes, pairs, 1, number, after, exact=False, relayed=relay.on)

    def end(name: str, kind: str, source: Placement, target: Placement) -> Iterator[Sent]:
        cargo = graph.values[name].cargo
        move = Move(kind, source, target)
        counts = (messages(move, cargo, plan.workers), rounds(move, cargo, plan.workers))
        nbytes = sent_bytes(move, cargo, plan.workers) + counts[0] * int(np.prod(samples)) * _LIVE_BYTES
        yield Sent(kind, name, section.ranks, nbytes, *counts, number, after, exact=False)

    mode, source, target = plan.choice.mode, chain.op.inputs[0], chain.op.outputs[0]
    if mode == "single":
        return
    if plan.choice.inputs[0] == ROOT:
        piece = Shard(0 if mode == "batch" else 1)
        yield from end(source, *(("broadcast", ROOT, REPLICATE) if mode == "row" else ("scatter", ROOT, piece)))
    for boundary, between in plan.between.items():
        yield from rows(plan.layers[boundary - 1].name, between, plan.relays[boundary])
    if isinstance(plan.choice.outputs[0], Single):
        yield from end(target, "gather", Shard(0 if mode == "batch" else 1), ROOT)
