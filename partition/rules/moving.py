"""Ops that cut, repeat, fill or rearrange along some axes: the others follow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from partition.rules.facts import OpFacts, Shape, axis_letters, normal_axis
from partition.rules.registry import RULES
from partition.rules.rule import REPEATED, Rule, composite

_LINEAR = (frozenset({0}),)


@RULES.register("Slice")
def slice_(facts: OpFacts) -> Rule | None:
    """`a b, -, -, - -> a y1; whole b`: the axes that are cut stay whole, wherever the request cuts them."""
    axes = facts.integers("axes", 3)
    count = _length(facts, "starts", 1)
    if axes is None and count is None:
        return None
    return _changed(facts, range(count or 0) if axes is None else axes, linear=True)


def _length(facts: OpFacts, name: str, position: int) -> int | None:
    """How many numbers an attribute or an input has, whatever they are."""
    if name in facts.attributes:
        return len(facts.attributes[name])
    shape = facts.shapes[position] if position < len(facts.shapes) else None
    return shape[0] if shape and isinstance(shape[0], int) else None


@RULES.register("Split")
def split(facts: OpFacts) -> Rule | None:
    """`a (2 b) -> a b, a b` into equal parts; into others `a b, - -> a y1, a y1; whole b`."""
    shape, parts, axis = facts.shapes[0], len(facts.outputs), facts.integer("axis", 0)
    equal = "split" not in facts.attributes and all(s is None for s in facts.shapes[1:])
    size = shape[normal_axis(axis, len(shape))] if shape else None
    if not shape or not equal or not isinstance(size, int) or size % parts:
        return _changed(facts, [axis], linear=True)
    letters, at = axis_letters(len(shape)), normal_axis(axis, len(shape))
    joined = (*letters[:at], composite(parts, letters[at]), *letters[at + 1 :])
    inputs = (joined, *(() for _ in facts.shapes[1:]))
    return Rule(inputs, (letters,) * parts, linear=_LINEAR, solid=frozenset({letters[at]}))


@RULES.register("Pad")
def pad(facts: OpFacts) -> Rule | None:
    """`a b, - -> a y1; whole b`: the axes that grow stay whole; a constant that is not 0 would be summed."""
    shape, pads, axes = facts.shapes[0], facts.integers("pads", 1), facts.integers("axes", 3)
    if shape is None or pads is None:
        return None
    half = len(pads) // 2
    grown = [i for i in range(half) if pads[i] or pads[half + i]]
    return _changed(facts, grown if axes is None else [axes[i] for i in grown])


@RULES.register("Tile")
def tile(facts: OpFacts) -> Rule | None:
    """`a b, - -> a y1; whole b` where only `b` is repeated."""
    repeats = facts.integers("repeats", 1)
    return None if repeats is None else _changed(facts, [i for i, n in enumerate(repeats) if n != 1], linear=True)


@RULES.register("Expand")
def expand(facts: OpFacts) -> Rule | None:
    """`a b, - -> a b` where the target says 1; an axis whose size it repeats must be whole to have it."""
    shape, target = facts.shapes[0], facts.integers("shape", 1)
    if shape is None or target is None:
        return None
    letters = axis_letters(len(shape))
    rank = max(len(shape), len(target))
    sizes = (*(1 for _ in range(rank - len(target))), *target)
    names = (*(REPEATED for _ in range(rank - len(shape))), *letters)
    kept = [size == 1 and name != REPEATED for size, name in zip(sizes, names, strict=True)]
    output = tuple(name if keep else f"y{i}" for i, (name, keep) in enumerate(zip(names, kept, strict=True)))
    whole = frozenset(letters) - frozenset(output)
    return Rule((letters, ()), (output,), whole=whole, linear=_LINEAR)


@RULES.register("DepthToSpace", "SpaceToDepth")
def blocks(facts: OpFacts) -> Rule | None:
    """`a b c d -> a y1 y2 y3; whole b c d`: only samples are independent."""
    return _changed(facts, [1, 2, 3], linear=True)


@RULES.register("Resize")
def resize(facts: OpFacts) -> Rule | None:
    """`n c x0, -, - -> n c y0; whole x0`: axes with scale 1; for sizes see partition.scales.

    Sizes that are left are those of the whole: `sizes 3`, unless they are of the changed axes alone.
    """
    shape, axes = facts.shapes[0], facts.attributes.get("axes")
    if shape is None or facts.attributes.get("coordinate_transformation_mode") == b"tf_crop_and_resize":
        return None
    if len(facts.shapes) > 3 and facts.shapes[3] is not None:
        return _resize_to_sizes(facts, shape, axes)
    scales = facts.constants.get(2 if facts.version >= 11 else 1)
    if scales is None:
        return None
    named = list(range(len(shape))) if axes is None else list(axes)
    return _changed(facts, [axis for axis, scale in zip(named, scales, strict=False) if scale != 1])


def _resize_to_sizes(facts: OpFacts, shape: Shape, axes: Sequence[int] | None) -> Rule | None:
    sizes = facts.constants.get(3)
    if axes is not None:
        return _changed(facts, axes)
    if sizes is None or len(sizes) != len(shape) or None in shape:
        return None
    rule = _changed(facts, [i for i, (size, want) in enumerate(zip(shape, sizes, strict=True)) if size != want])
    return None if rule is None else replace(rule, sizes=3, solid=frozenset(rule.letters))


@RULES.register("Upsample")
def upsample(facts: OpFacts) -> Rule | None:
    """As Resize."""
    scales = facts.attributes.get("scales")
    if scales is None:
        scales = facts.constants.get(1)
    return None if scales is None else _changed(facts, [i for i, scale in enumerate(scales) if scale != 1])


@RULES.register("CumProd", "CumSum")
def running(facts: OpFacts) -> Rule | None:
    """`a b, - -> a y1; whole b`."""
    axis = facts.integers("axis", 1)
    return None if axis is None else _changed(facts, axis, linear=facts.op_type == "CumSum")


@RULES.register("Trilu")
def triangle(facts: OpFacts) -> Rule | None:
    """`a b c, - -> a y1 y2; whole b c`: a triangle is one of the last two axes."""
    return _changed(facts, [-2, -1], linear=True)


@RULES.register("DFT")
def fourier(facts: OpFacts) -> Rule | None:
    """`a b c two, -, - -> a y1 c y3; whole b two`: signals are independent."""
    axis = facts.integers("axis", 2)
    since = 20  # the opset in which the axis became an input, and the last signal axis the default
    if axis is None:
        axis = (-2 if facts.version >= since else 1,)
    return _changed(facts, [*axis, -1])


@RULES.register("ReverseSequence")
def reverse_sequence(facts: OpFacts) -> Rule | None:
    """`a b c, b -> y0 b c; whole a`: each sample by its own length."""
    rule = _changed(facts, [facts.integer("time_axis", 0)])
    batch = facts.integer("batch_axis", 1)
    return None if rule is None else replace(rule, inputs=(rule.inputs[0], (rule.inputs[0][batch],)))


@RULES.register("TensorScatter")
def tensor_scatter(facts: OpFacts) -> Rule | None:
    """`a b c d, a b s d, a -> a b y2 d; whole c s`: written into caches at each sample's place."""
    rule = _changed(facts, [facts.integer("axis", -2)])
    if rule is None:
        return None
    cache = rule.inputs[0]
    update = tuple("s" if name in rule.whole else name for name in cache)
    inputs = (cache, update, cache[:1])[: len(facts.shapes)]
    return replace(rule, inputs=inputs, whole=rule.whole | {"s"})


@RULES.register("Det")
def determinant(facts: OpFacts) -> Rule | None:
    """`a b c -> a; whole b c`."""
    rule = _changed(facts, [-2, -1])
    return None if rule is None else replace(rule, outputs=(rule.inputs[0][:-2],))


@RULES.register("OneHot")
def one_hot(facts: OpFacts) -> Rule | None:
    """`a b, -, - -> a b y`."""
    shape = facts.shapes[0]
    if shape is None:
        return None
    letters, axis = axis_letters(len(shape)), normal_axis(facts.integer("axis", -1), len(shape) + 1)
    return Rule((letters, (), ()), ((*letters[:axis], "y", *letters[axis:]),))


@RULES.register("TopK")
def top(facts: OpFacts) -> Rule | None:
    """`a b, - -> a y1, a y1; whole b`."""
    return _changed(facts, [facts.integer("axis", -1)])


def _changed(facts: OpFacts, axes: Iterable[int], linear: bool = False) -> Rule | None:
    """Every axis follows but these."""
    shape = facts.shapes[0]
    if not shape:
        return None
    gone = {normal_axis(axis, len(shape)) for axis in axes}
    letters = axis_letters(len(shape))
    output = tuple(f"y{i}" if i in gone else name for i, name in enumerate(letters))
    inputs = (letters, *(() for _ in facts.shapes[1:]))
    whole = frozenset(letters[i] for i in gone)
    return Rule(inputs, tuple(output for _ in facts.outputs), whole=whole, linear=_LINEAR if linear else ())
