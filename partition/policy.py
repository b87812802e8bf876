"""What a strategy allows: for every op, the choices among which the search may take the cheapest.

serial: everything on rank 0.
batch:  what depends on the first axis of the inputs is divided along it, and only along it; the rest runs on rank 0.
row:    an op with a weight is divided by its output neurons.
column: an op with a weight is divided by its input neurons.
tensor: an op with a weight may be divided in any way, or be computed by all.
Where an op cannot be divided by row or column, it is by the other of the two, so that its weight is.
Under row, column and tensor, ops without weights may do anything that their rule allows.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence

from partition.choices import Choice, split_by, split_choices, whole_choices
from partition.divisions import Division, OpAxes, all_divisions
from partition.graph import Graph, Op
from partition.placement import Partial, Shard
from partition.rules import Rule
from partition.rules.sparse import CHAIN
from partition.sparse.choices import chain_choices


def allowed_choices(graph: Graph, strategy: str, workers: int) -> list[tuple[Choice, ...]]:
    """For every op of the graph, what the strategy allows; at least one choice each. Alike ops share one object."""
    if strategy == "serial" or workers == 1:
        return _each(graph, [()] * len(graph.ops), lambda i: whole_choices(graph.ops[i])[-1:])  # the last is "single"
    if strategy == "batch":
        return _by_batch(graph, workers)
    divisions = all_divisions(graph, graph.rules, workers)
    ways = [tuple(division.items()) for division in divisions]
    return _each(graph, ways, lambda i: _by_weight(graph, i, workers, strategy, divisions[i]))


def _each(
    graph: Graph, more: Sequence[Hashable], choose: Callable[[int], tuple[Choice, ...]]
) -> list[tuple[Choice, ...]]:
    """What is chosen for each op by its number, once for all that are alike.

    more: what else the choice depends on.
    """
    known: dict[tuple[int, Hashable], tuple[Choice, ...]] = {}
    for i, op in enumerate(graph.ops):
        if (graph.kinds[op], more[i]) not in known:
            known[graph.kinds[op], more[i]] = choose(i)
    return [known[graph.kinds[op], another] for op, another in zip(graph.ops, more, strict=True)]


def _by_weight(
    graph: Graph, index: int, workers: int, strategy: str, divisions: Mapping[str, Iterable[Division]]
) -> tuple[Choice, ...]:
    op, rule = graph.ops[index], graph.rules[index]
    if op.proto.op_type == CHAIN:
        return chain_choices("row" if strategy == "row" else "column")
    if rule is None:
        return whole_choices(op)
    split = tuple(split_choices(graph, OpAxes(graph, op, rule, workers), divisions))
    if strategy == "tensor":
        return (*split, *_beside(op, rule, split))
    for letter in (rule.row, rule.column) if strategy == "row" else (rule.column, rule.row):
        if forced := tuple(choice for choice in split if letter and choice.letter == letter):
            return forced
    return (*split, *whole_choices(op))


def _beside(op: Op, rule: Rule, split: tuple[Choice, ...]) -> tuple[Choice, ...]:
    """Whole; but an op whose weight can be divided is not for rank 0 alone."""
    whole = whole_choices(op)
    divides = any(choice.letter in (rule.row, rule.column) for choice in split if choice.letter)
    return whole[:1] if divides and not op.random else whole


def _by_batch(graph: Graph, workers: int) -> list[tuple[Choice, ...]]:
    """Follow the batch axis from the inputs; where it is lost, rank 0 goes on alone."""
    axes = {name: Shard(axis) for name, axis in batch_inputs(graph).items()}
    known: dict[Hashable, tuple[Choice | None, tuple[Choice, ...]]] = {}
    allowed: list[tuple[Choice, ...]] = []
    for op, rule in zip(graph.ops, graph.rules, strict=True):
        carrying = tuple((i, axes[name]) for i, name in enumerate(op.inputs) if name in axes)
        key = (graph.kinds[op], carrying, any(name in axes for name in op.captured))
        if key not in known:
            choice = _along_batch(graph, op, rule, axes, workers)
            known[key] = choice, _chain_or(op, choice) if choice else _whole_in_batch(graph, op)
        choice, choices = known[key]
        allowed.append(choices)
        for name, placement in zip(op.outputs, choice.outputs if choice else (), strict=False):
            if isinstance(placement, Shard):
                axes[name] = placement
    return allowed


def _chain_or(op: Op, choice: Choice) -> tuple[Choice, ...]:
    return chain_choices("batch") if op.proto.op_type == CHAIN else (choice,)


def batch_inputs(graph: Graph) -> dict[str, int]:
    """The inputs that carry the batch: their first axis has the size or symbol that the first such input's has."""
    shapes = {name: graph.values[name].shape for name in graph.inputs if graph.values[name].travels}
    ranked = {name: shape for name, shape in shapes.items() if shape}
    symbols = [shape[0] for shape in ranked.values() if isinstance(shape[0], str)]
    first = symbols[0] if symbols else next((shape[0] for shape in ranked.values()), None)
    return {name: 0 for name, shape in ranked.items() if shape[0] == first and (first is not None or len(ranked) == 1)}


def _along_batch(graph: Graph, op: Op, rule: Rule | None, axes: Mapping[str, Shard], workers: int) -> Choice | None:
    """The split along the letter that all batch inputs of the op share; None if there is none."""
    carrying = {i: axes[name] for i, name in enumerate(op.inputs) if name in axes}
    if rule is None or op.random or not carrying or any(name in axes for name in op.captured):
        return None
    choices = _carried_on(OpAxes(graph, op, rule, workers), carrying)
    travels = all(graph.values[name].travels for name in op.outputs if name in graph.values)
    return next(choices, None) if travels else None


def _carried_on(axes: OpAxes, carrying: Mapping[int, Shard]) -> Iterator[Choice]:
    """Splits that take all these inputs as they are, and leave no output to be summed."""
    first, shard = next(iter(carrying.items()))
    for letter in axes.rule.letters:
        place = (axes.places(letter) or ())[first:][:1]
        division = place[0].division(shard) if place and place[0] else None
        choice = split_by(axes, letter, division) if division else None
        fits = choice and all(choice.inputs[i] == wanted for i, wanted in carrying.items())
        if choice and fits and not any(isinstance(p, Partial) for p in choice.outputs):
            yield choice


def _whole_in_batch(graph: Graph, op: Op) -> tuple[Choice, ...]:
    """An op of constants may be computed everywhere; any other without a batch on rank 0."""
    replicate = whole_choices(op)
    constant = all(name in graph.constant_names for name in op.reads)
    return replicate if constant else replicate[-1:]
