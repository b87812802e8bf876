"""The ways in which one op can be computed on P ranks: derived from its rule, never written per op."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from partition.graph import Graph, Op
from partition.placement import REPLICATE, ROOT, Partial, Placement, Shard
from partition.rules import Rule
from partition.rules.facts import Dim

Mode = Literal["split", "partial", "replicate", "single", "batch", "row", "column"]


@dataclass(frozen=True)
class Choice:
    """One way.

    mode:    split along `letter`; partial: linear in unsummed inputs; replicate: on every rank; single: on rank 0;
             batch, row, column: a sparse chain that exchanges by itself.
    inputs:  the placement that each input must have.
    outputs: the placement that each output then has.
    others:  the placement of values that graphs inside of the op read.
    units:   attributes that count the units of the letter: each rank counts its own.
    """

    mode: Mode
    inputs: tuple[Placement, ...]
    outputs: tuple[Placement, ...]
    letter: str = ""
    others: Placement = REPLICATE
    units: tuple[str, ...] = ()

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


def split_choices(graph: Graph, op: Op, rule: Rule, workers: int) -> Iterator[Choice]:
    """The op computed in pieces, as its rule allows."""
    if op.random or any(_packed(graph, name) for name in op.reads):
        return
    for letter in divided_letters(graph, op, rule, workers):
        yield split_by(rule, letter)
    for group in rule.linear:
        inputs = tuple(Partial("sum") if i in group else REPLICATE for i in range(len(op.inputs)))
        yield Choice("partial", inputs, (Partial("sum"),) * len(op.outputs))


def split_by(rule: Rule, letter: str) -> Choice:
    """Inputs and outputs that have the letter are divided along it; an output that lacks it is unsummed."""
    inputs = tuple(_shard(axes, letter) or REPLICATE for axes in rule.inputs)
    outputs = tuple(_shard(axes, letter) or Partial(rule.reduce[letter]) for axes in rule.outputs)
    return Choice("split", inputs, outputs, letter, units=rule.units.get(letter, ()))


def divided_letters(graph: Graph, op: Op, rule: Rule, workers: int) -> tuple[str, ...]:
    """The letters of a rule that this many ranks can divide."""
    return tuple(letter for letter in rule.letters if _suffices(graph, op, rule, letter, workers))


def _suffices(graph: Graph, op: Op, rule: Rule, letter: str, workers: int) -> bool:
    """Whether no rank goes without where it must not, and no unit is cut."""
    if letter not in rule.solid and letter not in rule.units:
        return True
    sizes = _sizes(graph, op, rule, letter)
    counts = [int(op.attributes[name]) for name in rule.units.get(letter, ())]
    whole = all(count % workers == 0 or sizes == {count} for count in counts)
    return whole and all(isinstance(size, int) and size >= workers for size in (*sizes, *counts))


def _sizes(graph: Graph, op: Op, rule: Rule, letter: str) -> set[Dim]:
    """Sizes of the axes that carry a letter; what an output's is, is known from the inputs' or not at all."""
    tensors = [*zip(op.inputs, rule.inputs, strict=True), *zip(op.outputs, rule.outputs, strict=True)]
    carrying = [(graph.values.get(name), axes.index(letter)) for name, axes in tensors if name and letter in axes]
    return {value.shape[axis] if value and value.shape else None for value, axis in carrying}


def _shard(axes: tuple[str, ...], letter: str) -> Shard | None:
    return Shard(axes.index(letter)) if letter in axes else None


def _packed(graph: Graph, name: str) -> bool:
    """Weights with several elements to a byte are not cut."""
    tensor = graph.weights.get(name)
    return tensor is not None and (tensor.dtype.name == "STRING" or tensor.dtype.bitwidth < 8)
