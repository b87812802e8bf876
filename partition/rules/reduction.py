"""Reductions: the reduced axes vanish (or shrink to 1), and pieces of them combine."""

from __future__ import annotations

from partition.rules.facts import OpFacts, axis_letters, normal_axis
from partition.rules.registry import RULES
from partition.rules.rule import REPEATED, Letters, Rule

# How the reduced pieces of an op combine; absent = they do not. An empty piece of a maximum has no value: not offered.
_COMBINE = {"ReduceSum": "sum", "ReduceL1": "sum", "ReduceSumSquare": "sum"}
_LINEAR = ("ReduceSum", "ReduceMean")


@RULES.register(
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
)
def reduction(facts: OpFacts) -> Rule | None:
    """`a b -> a; reduce b: sum`."""
    shape = facts.shapes[0]
    if shape is None:
        return None
    letters = axis_letters(len(shape))
    gone = _gone(facts, letters)
    combine = _COMBINE.get(facts.op_type)
    inputs = (letters, *(() for _ in facts.shapes[1:]))
    linear = (frozenset({0}),) if facts.op_type in _LINEAR else ()
    outputs = (_kept(facts, letters, gone),)
    if combine:
        return Rule(inputs, outputs, reduce=dict.fromkeys(gone, combine), linear=linear)
    return Rule(inputs, outputs, whole=frozenset(gone), linear=linear)


@RULES.register("ArgMax", "ArgMin")
def arg_reduction(facts: OpFacts) -> Rule | None:
    """`a b -> a; whole b`."""
    shape = facts.shapes[0]
    if shape is None:
        return None
    letters = axis_letters(len(shape))
    gone = (letters[normal_axis(facts.integer("axis", 0), len(shape))],)
    return Rule((letters,), (_kept(facts, letters, gone),), whole=frozenset(gone))


def _gone(facts: OpFacts, letters: Letters) -> Letters:
    axes = facts.integers("axes", 1)
    if not axes:
        return () if facts.integer("noop_with_empty_axes", 0) else letters
    return tuple(letters[normal_axis(axis, len(letters))] for axis in axes)


def _kept(facts: OpFacts, letters: Letters, gone: Letters) -> Letters:
    if facts.integer("keepdims", 1):
        return tuple(REPEATED if name in gone else name for name in letters)
    return tuple(name for name in letters if name not in gone)
