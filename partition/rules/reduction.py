"""Reductions: the reduced axes vanish (or shrink to 1), and pieces of them combine."""

from __future__ import annotations

from itertools import combinations

from partition.rules.facts import OpFacts, Shape, axis_letters, normal_axis
from partition.rules.registry import RULES
from partition.rules.rule import REPEATED, Letters, Rule

# How the reduced pieces of an op combine; absent = they do not. An empty piece of a maximum has no value.
_COMBINE = {
    "ReduceL1": "sum",
    "ReduceMax": "max",
    "ReduceMin": "min",
    "ReduceProd": "prod",
    "ReduceSum": "sum",
    "ReduceSumSquare": "sum",
}
_SUM = "sum"
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
    gone, vague = _gone(facts, letters)
    # onnxruntime 1.31 takes negative axes of a reduction over an empty input for none at all: see partition.canonical,
    # which cannot rewrite those that a request gives.
    solid = frozenset(letters) - vague if _gives_axes(facts) else frozenset()
    combine = _COMBINE.get(facts.op_type)
    inputs = (letters, *(() for _ in facts.shapes[1:]))
    linear = (frozenset({0}),) if facts.op_type in _LINEAR else ()
    outputs = (_kept(facts, letters, gone),)
    if combine:
        summed = dict.fromkeys((name for name in gone if name not in vague), combine)
        filled = frozenset() if combine == _SUM else frozenset(summed)
        return Rule(inputs, outputs, reduce=summed, whole=vague, linear=linear, solid=solid | filled)
    return Rule(inputs, outputs, whole=vague | set(gone), linear=linear, solid=solid - set(gone))


@RULES.register("ArgMax", "ArgMin")
def arg_reduction(facts: OpFacts) -> Rule | None:
    """`a b -> a; whole b`."""
    shape = facts.shapes[0]
    if shape is None:
        return None
    letters = axis_letters(len(shape))
    gone = (letters[normal_axis(facts.integer("axis", 0), len(shape))],)
    return Rule((letters,), (_kept(facts, letters, gone),), whole=frozenset(gone))


def _gives_axes(facts: OpFacts) -> bool:
    """Whether the axes come with the request."""
    return (
        "axes" not in facts.attributes
        and len(facts.shapes) > 1
        and facts.shapes[1] is not None
        and 1 not in facts.constants
    )


def _gone(facts: OpFacts, letters: Letters) -> tuple[Letters, frozenset[str]]:
    """The letters that are reduced, and those of which the shapes alone do not tell."""
    if _gives_axes(facts):
        return _gone_by_shape(facts, letters)
    axes = facts.integers("axes", 1)
    if not axes:
        return () if facts.integer("noop_with_empty_axes", 0) else letters, frozenset()
    return tuple(letters[normal_axis(axis, len(letters))] for axis in axes), frozenset()


def _gone_by_shape(facts: OpFacts, letters: Letters) -> tuple[Letters, frozenset[str]]:
    """Axes that the request gives, seen from the sizes of input and output, where all of them are known.

    Raises:
        LookupError: if they are not.
    """
    before, after = facts.shapes[0], facts.outputs[0]
    if before is None or after is None or not all(isinstance(dim, int) for dim in (*before, *after)):
        raise LookupError("axes")
    found = [gone for gone in _subsets(len(before)) if _left(facts, before, gone) == after]
    if not found:
        raise LookupError("axes")
    sure = frozenset.intersection(*found)
    vague = frozenset.union(*found) - sure
    return tuple(letters[i] for i in sorted(found[0])), frozenset(letters[i] for i in vague)


def _subsets(rank: int) -> list[frozenset[int]]:
    return [frozenset(axes) for count in range(rank + 1) for axes in combinations(range(rank), count)]


def _left(facts: OpFacts, shape: Shape, gone: frozenset[int]) -> Shape:
    """The shape of what is left of a shape."""
    if facts.integer("keepdims", 1):
        return tuple(1 if i in gone else dim for i, dim in enumerate(shape))
    return tuple(dim for i, dim in enumerate(shape) if i not in gone)


def _kept(facts: OpFacts, letters: Letters, gone: Letters) -> Letters:
    if facts.integer("keepdims", 1):
        return tuple(REPEATED if name in gone else name for name in letters)
    return tuple(name for name in letters if name not in gone)
