"""Recurrent cells: samples are independent, and so are directions, each with its own weights.

Hidden units are not: every step reads all of the last one's, so each would need an exchange.
"""

from __future__ import annotations

from partition.rules.facts import OpFacts
from partition.rules.registry import RULES
from partition.rules.rule import Letters, Rule

_STATE = ("d", "b", "h")
_TENSORS: tuple[Letters, ...] = (("s", "b", "i"), ("d", "g", "i"), ("d", "g", "h"), ("d", "f"), ("b",), _STATE, _STATE)


@RULES.register("GRU", "LSTM", "RNN")
def recurrent(facts: OpFacts) -> Rule | None:
    """`s b i, d g i, d g h, d f, b, d b h -> s d b h, d b h; whole g h i s; directions d; guard b`.

    onnxruntime 1.31 ends the process on no samples. Parameters of activations do not say whose they are.
    """
    if facts.shapes[0] is None or facts.integer("layout", 0):
        return None
    tensors = (*_TENSORS, ("d", "o"))
    inputs = tuple(axes if s is not None else () for axes, s in zip(tensors, facts.shapes, strict=False))
    outputs = (("s", *_STATE), _STATE, _STATE)[: len(facts.outputs)]
    mixed = "activation_alpha" in facts.attributes or "activation_beta" in facts.attributes
    both = facts.attributes.get("direction") == b"bidirectional" and not mixed
    letters = {name for axes in (*inputs, *outputs) for name in axes}
    return Rule(
        inputs,
        outputs,
        whole=frozenset(letters - {"b", "d"} | ({"d"} if not both else set())),
        row="d" if both and facts.is_weight(1) else "",
        column="d" if both and facts.is_weight(1) else "",
        solid=frozenset({"d"} if both else ()),
        directions="d" if both else "",
        guard=frozenset({"b"}),
    )
