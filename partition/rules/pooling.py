"""Pooling: samples and channels are independent, space is not."""

from __future__ import annotations

from partition.rules.facts import OpFacts
from partition.rules.registry import RULES
from partition.rules.rule import REPEATED, Rule

_LINEAR = ("AveragePool", "GlobalAveragePool")


@RULES.register("AveragePool", "LpPool", "MaxPool")
def pool(facts: OpFacts) -> Rule | None:
    """`n c x0 -> n c y0; whole x0`; indices, which count through all channels, cannot be told of a part."""
    return _pool(facts, "y") if len(facts.outputs) == 1 else None


@RULES.register("GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool")
def global_pool(facts: OpFacts) -> Rule | None:
    """`n c x0 -> n c 1; whole x0`."""
    return _pool(facts, "")


def _pool(facts: OpFacts, result: str) -> Rule | None:
    """onnxruntime 1.31 refuses to pool no channels."""
    shape = facts.shapes[0]
    if shape is None or len(shape) < 3:
        return None
    spatial = tuple(f"x{i}" for i in range(len(shape) - 2))
    output = tuple(f"{result}{i}" if result else REPEATED for i in range(len(spatial)))
    linear = (frozenset({0}),) if facts.op_type in _LINEAR else ()
    inputs = (("n", "c", *spatial),)
    return Rule(inputs, (("n", "c", *output),), whole=frozenset(spatial), linear=linear, solid=frozenset({"c"}))
