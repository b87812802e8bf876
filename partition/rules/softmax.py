"""Softmax and its kin: independent along every axis but the normalised ones."""

from __future__ import annotations

from partition.rules.facts import OpFacts, axis_letters, normal_axis
from partition.rules.registry import RULES
from partition.rules.rule import REPEATED, Rule

_ONE_AXIS_SINCE = 13


@RULES.register("Hardmax", "LogSoftmax", "Softmax")
def softmax(facts: OpFacts) -> Rule | None:
    """`a b -> a b; whole b`; before opset 13 every axis from `axis` on is normalised together."""
    shape = facts.shapes[0]
    if shape is None or not shape:
        return None
    letters = axis_letters(len(shape))
    modern = facts.version >= _ONE_AXIS_SINCE
    axis = normal_axis(facts.integer("axis", -1 if modern else 1), len(shape))
    whole = letters[axis : axis + 1] if modern else letters[axis:]
    return Rule((letters,), (letters,), whole=frozenset(whole))


@RULES.register("LayerNormalization", "RMSNormalization")
def layer_norm(facts: OpFacts) -> Rule | None:
    """`a b, -, - -> a b, a 1, a 1; whole b`: every axis from `axis` on is normalised together."""
    shape = facts.shapes[0]
    if shape is None:
        return None
    letters = axis_letters(len(shape))
    axis = normal_axis(facts.integer("axis", -1), len(shape))
    if any(s is not None and len(s) > len(shape) - axis for s in facts.shapes[1:]):
        return None
    figures = letters[:axis] + (REPEATED,) * (len(shape) - axis)  # mean and inverse deviation
    outputs = (letters, figures, figures)[: len(facts.outputs)]
    return Rule((letters, *(() for _ in facts.shapes[1:])), outputs, whole=frozenset(letters[axis:]))
