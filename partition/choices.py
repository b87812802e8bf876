"""The ways in which one op can be computed on P ranks: derived from its rule, never written per op."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from partition.graph import Graph, Op
from partition.placement import REPLICATE, ROOT, Partial, Placement, Shard
from partition.rules import Rule

Mode = Literal["split", "partial", "replicate", "single", "batch", "row", "column"]


@dataclass(frozen=True)
class Choice:
    """One way.

    mode:    split along `letter`; partial: linear in unsummed inputs; replicate: on every rank; single: on rank 0;
             batch, row, column: a sparse chain that exchanges by itself.
    inputs:  the placement that each input must have.
    outputs: the placement that each output then has.
    others:  the placement of values that graphs inside of the op read.
    """

    mode: Mode
    inputs: tuple[Placement, ...]
    outputs: tuple[Placement, ...]
    letter: str = ""
    others: Placement = REPLICATE

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


def split_choices(graph: Graph, op: Op, rule: Rule) -> Iterator[Choice]:
    """The op computed in pieces, as its rule allows."""
    if op.random or any(_packed(graph, name) for name in op.reads):
        return
    for letter in rule.letters:
        yield split_by(rule, letter)
    for group in rule.linear:
        inputs = tuple(Partial("sum") if i in group else REPLICATE for i in range(len(op.inputs)))
        yield Choice("partial", inputs, (Partial("sum"),) * len(op.outputs))


def split_by(rule: Rule, letter: str) -> Choice:
    """Inputs and outputs that have the letter are divided along it; an output that lacks it is unsummed."""
    inputs = tuple(_shard(axes, letter) or REPLICATE for axes in rule.inputs)
    outputs = tuple(_shard(axes, letter) or Partial(rule.reduce[letter]) for axes in rule.outputs)
    return Choice("split", inputs, outputs, letter)


def _shard(axes: tuple[str, ...], letter: str) -> Shard | None:
    return Shard(axes.index(letter)) if letter in axes else None


def _packed(graph: Graph, name: str) -> bool:
    """Weights with several elements to a byte are not cut."""
    tensor = graph.weights.get(name)
    return tensor is not None and (tensor.dtype.bitwidth < 8 or tensor.dtype.name == "STRING")
