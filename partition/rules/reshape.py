"""Reshape: which axes of the input become which of the output.

Both lists of sizes are read from the front and from the back: an axis that is the same on both sides keeps its letter;
several that become one are written as one, `b s h d -> b s (h d)`, and one that becomes several, likewise. What is left
over, such as [4, 6] -> [3, 8], stays whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from partition.rules.facts import OpFacts, Shape, axis_letters
from partition.rules.registry import RULES
from partition.rules.rule import REPEATED, Letters, Rule, composite, factors

_Size = int | str  # a number, or what stands for one that the request chooses
_Group = tuple[int, int]  # how many axes of the input become how many of the output


@RULES.register("Reshape")
def reshape(facts: OpFacts) -> Rule | None:
    """`a (y1 y2), - -> a y1 y2; sizes 1`, or the other way round; see partition.canonical for the target."""
    shape, target = facts.shapes[0], facts.integers("shape", 1)
    if shape is None or target is None or facts.integer("allowzero", 0):
        return None
    left, right = _sizes(shape), _target_sizes(shape, target)
    pairs = [_named(pair, left, right) for pair in _pairs(left, right)]
    inputs = tuple(name for pair in pairs for name in pair.inputs)
    output = tuple(name for pair in pairs for name in pair.outputs)
    rest = tuple(() for _ in facts.shapes[1:])
    whole = frozenset(name for pair in pairs if pair.is_opaque for name in pair.inputs) - {REPEATED}
    rule = Rule((inputs, *rest), (output,), whole=whole, linear=(frozenset({0}),), sizes=1 if rest else None)
    return replace(rule, solid=_solid(rule, target))


@dataclass(frozen=True)
class _Pair:
    """Axes of the input that hold the same elements as these of the output; opaque = in another order of axes."""

    inputs: Letters
    outputs: Letters
    is_opaque: bool = False


def _sizes(shape: Shape) -> list[_Size]:
    """Sizes to compare: unknown ones, and 0, equal only themselves."""
    return [size if size else f"?{i}" for i, size in enumerate(shape)]


def _target_sizes(shape: Shape, target: Sequence[int]) -> list[_Size]:
    left = _sizes(shape)
    return [left[i] if size == 0 and i < len(left) else (size if size > 0 else "?") for i, size in enumerate(target)]


def _pairs(left: list[_Size], right: list[_Size]) -> Iterator[tuple[range, range]]:
    """Groups of axes from the front, what is left in the middle, and groups from the back."""
    front = list(_equal_groups(left, right))
    i, j = sum(n for n, _ in front), sum(n for _, n in front)
    back = list(_equal_groups(left[i:][::-1], right[j:][::-1]))[::-1]
    k, m = sum(n for n, _ in back), sum(n for _, n in back)
    middle = (len(left) - i - k, len(right) - j - m)
    a = b = 0
    for n, o in (*front, *([middle] if any(middle) else []), *back):
        yield range(a, a + n), range(b, b + o)
        a, b = a + n, b + o


def _equal_groups(left: Sequence[_Size], right: Sequence[_Size]) -> Iterator[_Group]:
    i = j = 0
    while i < len(left) and j < len(right):
        group = (1, 1) if left[i] == right[j] else _equal_products(left[i:], right[j:])
        if group is None:
            return
        yield group
        i, j = i + group[0], j + group[1]


def _equal_products(left: Sequence[_Size], right: Sequence[_Size]) -> _Group | None:
    """The shortest beginnings of one product; None if a size in between is not known."""
    counts, products = [0, 0], [1, 1]
    while products[0] != products[1] or not all(counts):
        side = int(products[0] > products[1]) if all(counts) else counts.index(0)
        sizes = (left, right)[side]
        size = sizes[counts[side]] if counts[side] < len(sizes) else ""
        if not isinstance(size, int):
            return None
        products[side] *= size
        counts[side] += 1
    return counts[0], counts[1]


def _named(pair: tuple[range, range], left: list[_Size], right: list[_Size]) -> _Pair:
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
