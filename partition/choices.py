"""The ways in which one op can be computed on P ranks: derived from its rule, never written per op."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from partition.divisions import PLAIN, Division, OpAxes
from partition.graph import Graph, Op
from partition.lookup import LOOKED_UP
from partition.placement import REPLICATE, ROOT, Partial, Placement, Shard

Mode = Literal["split", "partial", "replicate", "single", "batch", "row", "column"]


@dataclass(frozen=True)
class Choice:
    """One way.

    mode:    split along `letter`; partial: linear in unsummed inputs; replicate: on every rank; single: on rank 0;
             batch, row, column: a sparse chain that exchanges by itself.
    inputs:  the placement that each input must have.
    outputs: the placement that each output then has.
    others:  the placement of values that graphs inside of the op read.
    units:   (attribute, division): attributes that count the letter, and how the count is divided: as an axis would be.
    sizes:   the input that lists the sizes of output 0, of which each rank has its own; None = there is none.
    looks_up: whether input 1 holds places in the whole of input 0, of which a rank has its rows.
    directed: whether the letter are the directions of a recurrent cell.
    guarded: whether a rank's piece may be empty though the op refuses that: see partition.guard.
    """

    mode: Mode
    inputs: tuple[Placement, ...]
    outputs: tuple[Placement, ...]
    letter: str = ""
    others: Placement = REPLICATE
    units: tuple[tuple[str, Shard], ...] = ()
    sizes: int | None = None
    looks_up: bool = False
    directed: bool = False
    guarded: bool = False

    def needs(self, op: Op) -> Iterator[tuple[str, Placement]]:
        """(value, placement) of everything that the op reads."""
        yield from ((name, p) for name, p in zip(op.inputs, self.inputs, strict=True) if name)
        yield from ((name, self.others) for name in op.captured)


def whole_choices(op: Op) -> tuple[Choice, ...]:
    """The op computed whole: on every rank, or on rank 0 alone. A random op has one place only."""
    single = _uniform(op, "single", ROOT)
    return (single,) if op.random else (_uniform(op, "replicate", REPLICATE), single)


def _uniform(op: Op, mode: Mode, placement: Placement) -> Choice:
    return Choice(mode, (placement,) * len(op.inputs), (placement,) * len(op.outputs), others=placement)


def split_choices(graph: Graph, axes: OpAxes, divisions: Mapping[str, Iterable[Division]]) -> Iterator[Choice]:
    """The op computed in pieces, as its rule allows: along each letter, in each of its divisions."""
    op, rule = axes.op, axes.rule
    if op.random or any(_packed(graph, name) for name in op.reads):
        return
    letters = [letter for letter in rule.letters if letter not in rule.places or _is_summed(graph, op)]
    found = (split_by(axes, x, division) for x in letters for division in divisions.get(x, (PLAIN,)))
    yield from dict.fromkeys(choice for choice in found if choice)
    for group in rule.linear:
        inputs = tuple(Partial("sum") if i in group else REPLICATE for i in range(len(op.inputs)))
        yield Choice("partial", inputs, (Partial("sum"),) * len(op.outputs))


def split_by(axes: OpAxes, letter: str, division: Division = PLAIN) -> Choice | None:
    """Inputs and outputs that have the letter are divided along it; an output that lacks it is unsummed.

    None if this many ranks cannot divide it so.
    """
    rule, shards = axes.rule, axes.shards(letter, division)
    if shards is None:
        return None
    inputs = tuple(shard or REPLICATE for shard in shards[: len(rule.inputs)])
    outputs = tuple(shard or Partial(rule.reduce[letter]) for shard in shards[len(rule.inputs) :])
    sizes = rule.sizes if isinstance(outputs[0], Shard) else None
    return Choice(
        "split",
        inputs,
        outputs,
        letter,
        units=axes.local_units(letter, division),
        sizes=sizes,
        looks_up=letter in rule.places,
        directed=letter == rule.directions,
        guarded=axes.is_guarded(letter),
    )


def _is_summed(graph: Graph, op: Op) -> bool:
    """Whether rows of this type can be masked and added up."""
    return graph.values[op.inputs[0]].dtype in LOOKED_UP and graph.values[op.inputs[1]].dtype in ("int32", "int64")


def _packed(graph: Graph, name: str) -> bool:
    """Weights with several elements to a byte are not cut."""
    tensor = graph.weights.get(name)
    return tensor is not None and (tensor.dtype.name == "STRING" or tensor.dtype.bitwidth < 8)
