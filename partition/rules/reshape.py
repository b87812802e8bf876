"""Reshape: which axes of the input become which of the output.

An axis that is the same on both sides keeps its letter; several that become one are written as one,
`b s h d -> b s (h d)`, and one that becomes several, likewise. The rest, such as [4, 6] -> [3, 8], stays whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from partition.rules.facts import OpFacts, Shape, axis_letters
from partition.rules.groups import Size, axis_groups
from partition.rules.registry import RULES
from partition.rules.rule import REPEATED, Letters, Rule, composite, factors


@RULES.register("Reshape")
def reshape(facts: OpFacts) -> Rule | None:
    """`a (y1 y2), - -> a y1 y2; sizes 1`, or the other way round; see partition.canonical for the target."""
    shape = facts.shapes[0]
    if shape is None:
        return None
    if len(facts.shapes) > 1 and 1 not in facts.constants:
        return _unfollowed(facts)
    target = facts.integers("shape", 1)
    if target is None or facts.integer("allowzero", 0):
        return None
    left, right = _sizes(shape), _target_sizes(shape, target)
    pairs = [_named(pair, left, right) for pair in axis_groups(left, right)]
    inputs = tuple(name for pair in pairs for name in pair.inputs)
    output = tuple(name for pair in pairs for name in pair.outputs)
    rest = tuple(() for _ in facts.shapes[1:])
    whole = frozenset(name for pair in pairs if pair.is_opaque for name in pair.inputs) - {REPEATED}
    rule = Rule((inputs, *rest), (output,), whole=whole, linear=(frozenset({0}),), sizes=1 if rest else None)
    return replace(rule, solid=_solid(rule, target))


def _unfollowed(facts: OpFacts) -> Rule | None:
    """`a b, - -> y0 y1 y2; whole a b; linear 0` where the target is computed: all that is known are its axes."""
    shape, result = facts.shapes[0], facts.outputs[0]
    if shape is None or result is None:
        return None
    letters = axis_letters(len(shape))
    output = tuple(f"y{i}" for i in range(len(result)))
    return Rule((letters, ()), (output,), whole=frozenset(letters), linear=(frozenset({0}),))


@dataclass(frozen=True)
class _Pair:
    """Axes of the input that hold the same elements as these of the output; opaque = in another order of axes."""

    inputs: Letters
    outputs: Letters
    is_opaque: bool = False


def _sizes(shape: Shape) -> list[Size]:
    """Sizes to compare: unknown ones, and 0, equal only themselves."""
    return [size if size else f"?{i}" for i, size in enumerate(shape)]


def _target_sizes(shape: Shape, target: Sequence[int]) -> list[Size]:
    left = _sizes(shape)
    return [left[i] if size == 0 and i < len(left) else (size if size > 0 else "?") for i, size in enumerate(target)]


def _named(pair: tuple[range, range], left: list[Size], right: list[Size]) -> _Pair:
    letters, (sources, targets) = axis_letters(len(left)), pair
    inputs = tuple(REPEATED if left[i] == 1 else letters[i] for i in sources)
    outputs = tuple(REPEATED if right[j] == 1 else f"y{j}" for j in targets)
    many, parts = ([name for name in side if name != REPEATED] for side in (inputs, outputs))
    if len(parts) == 1 and many:
        return _Pair(inputs, _filled(outputs, composite(*many)))
    if len(many) == 1 and parts:
        return _Pair(_filled(inputs, composite(*parts)), outputs)
    return _Pair(inputs, outputs, is_opaque=True)


def _filled(axes: Letters, name: str) -> Letters:
    return tuple(axis if axis == REPEATED else name for axis in axes)


def _solid(rule: Rule, target: Sequence[int]) -> frozenset[str]:
    """Letters whose empty piece the target cannot say: 0 copies a size, and -1 cannot be inferred beside a 0."""
    free = -1 if -1 in target else 0
    said = [factors(axis) for axis, size in zip(rule.outputs[0], target, strict=True) if size == free]
    return frozenset(name for name in rule.letters if not any(name in parts for parts in said))
