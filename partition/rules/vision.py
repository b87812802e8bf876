"""Ops on images that read at computed places: samples are independent, channels too."""

from __future__ import annotations

from partition.rules.facts import OpFacts, axis_letters, normal_axis
from partition.rules.registry import RULES
from partition.rules.rule import Letters, Rule, composite


@RULES.register("GridSample")
def grid_sample(facts: OpFacts) -> Rule | None:
    """`n c x0 x1, n y0 y1 two -> n c y0 y1; whole two x0 x1`: each place of the output by itself."""
    image, grid = facts.shapes[:2]
    if not image or not grid:
        return None
    sources, targets = (tuple(f"{x}{i}" for i in range(len(image) - 2)) for x in "xy")
    rule = Rule((("n", "c", *sources), ("n", *targets, "two")), (("n", "c", *targets),))
    return Rule(rule.inputs, rule.outputs, whole=frozenset({*sources, "two"}), solid=frozenset({"n", "c", *targets}))


@RULES.register("RoiAlign")
def roi_align(_facts: OpFacts) -> Rule | None:
    """`n c x0 x1, r four, r -> r c y0 y1; whole four n x0 x1`."""
    inputs: tuple[Letters, ...] = (("n", "c", "x0", "x1"), ("r", "four"), ("r",))
    return Rule(inputs, (("r", "c", "y0", "y1"),), whole=frozenset({"n", "x0", "x1", "four"}), guard=frozenset({"r"}))


@RULES.register("Col2Im")
def col2im(facts: OpFacts) -> Rule | None:
    """`n (c 4) l, -, - -> n c y0 y1; whole l`: an axis of channels, each with its block."""
    columns, block = facts.shapes[0], facts.constants.get(2)
    if not columns or block is None:
        return None
    size = int(block.prod())
    channels = composite("c", *(size,) * (size > 1))
    output = ("n", "c", *(f"y{i}" for i in range(len(block))))
    return Rule((("n", channels, "l"), (), ()), (output,), whole=frozenset({"l"}), guard=frozenset({"n"}))


@RULES.register("DeformConv")
def deform_conv(facts: OpFacts) -> Rule | None:
    """`n c x0 x1, m c k0 k1, n o y0 y1, m, n p y0 y1 -> n m y0 y1; whole c k0 k1 o p x0 x1 y0 y1; row m`."""
    if not facts.shapes[0] or facts.integer("group", 1) != 1:
        return None
    given: tuple[Letters, ...] = (
        ("n", "c", "x0", "x1"),
        ("m", "c", "k0", "k1"),
        ("n", "o", "y0", "y1"),
        ("m",),
        ("n", "p", "y0", "y1"),
    )
    inputs = tuple(axes if s is not None else () for axes, s in zip(given, facts.shapes, strict=False))
    whole = {name for axes in inputs for name in axes} - {"n", "m"}
    row = "m" if facts.is_weight(1) else ""
    solid, guard = frozenset({"m"}), frozenset({"n"})
    return Rule(inputs, (("n", "m", "y0", "y1"),), whole=frozenset(whole), row=row, solid=solid, guard=guard)


@RULES.register("CenterCropPad")
def center_crop_pad(facts: OpFacts) -> Rule | None:
    """`a b, - -> a y1; whole b`: the axes that it names are cut or filled."""
    shape, axes = facts.shapes[0], facts.attributes.get("axes")
    if not shape or axes is None:
        return None
    letters, changed = axis_letters(len(shape)), {normal_axis(int(axis), len(shape)) for axis in axes}
    output = tuple(f"y{i}" if i in changed else name for i, name in enumerate(letters))
    return Rule((letters, ()), (output,), whole=frozenset(letters[i] for i in changed))
