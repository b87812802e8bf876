"""Recurrent cells: samples are independent; the weights stay whole."""

from __future__ import annotations

from partition.rules.facts import OpFacts
from partition.rules.registry import RULES
from partition.rules.rule import Rule

_STATE = ("d", "b", "h")


@RULES.register("GRU", "LSTM", "RNN")
def recurrent(facts: OpFacts) -> Rule | None:
    """`s b i, -, -, -, b, d b h -> s d b h, d b h; whole d h i s`: onnxruntime 1.31 ends the process on no samples."""
    if facts.shapes[0] is None or facts.integer("layout", 0):
        return None
    tensors = (("s", "b", "i"), (), (), (), ("b",), _STATE, _STATE, ())
    inputs = tuple(axes if s is not None else () for axes, s in zip(tensors, facts.shapes, strict=False))
    outputs = (("s", *_STATE), _STATE, _STATE)[: len(facts.outputs)]
    return Rule(inputs, outputs, whole=frozenset("dhis"), solid=frozenset("b"))
