"""Convolutions: output channels are neurons, input channels are summed, whole groups go their own ways."""

from __future__ import annotations

from dataclasses import replace

from partition.rules.facts import Dim, OpFacts, Shape
from partition.rules.registry import RULES
from partition.rules.rule import Letters, Rule, composite

_EITHER = (frozenset({0}), frozenset({1}))


@RULES.register("Conv")
def conv(facts: OpFacts) -> Rule | None:
    """`n c x0, m c k0, m -> n m y0`: see _grouped for groups; without bias pieces of `c` are summed."""
    x, w = facts.shapes[:2]
    if not x or not w or len(x) < 2:
        return None
    groups = facts.integer("group", 1)
    rule = _plain(x) if groups == 1 else _grouped(x, groups, _times(w[1], groups), w[0])
    return _with_bias(rule, facts, 2)


@RULES.register("ConvTranspose")
def conv_transpose(facts: OpFacts) -> Rule | None:
    """`n c x0, c m k0, m -> n m y0`: a weight that lies the other way round."""
    x, w = facts.shapes[:2]
    if not x or not w or len(x) < 2:
        return None
    groups = facts.integer("group", 1)
    if groups != 1:
        return _with_bias(_turned(_grouped(x, groups, w[0], _times(w[1], groups))), facts, 2)
    rule = _plain(x)
    return _with_bias(replace(rule, inputs=(rule.inputs[0], ("c", "m", *rule.inputs[1][2:]))), facts, 2)


@RULES.register("ConvInteger")
def conv_integer(facts: OpFacts) -> Rule | None:
    """`n c x0, m c k0, -, - -> n m y0; reduce c: sum`: sums of integers are exact; zero points are scalars."""
    if any(s is not None and s not in ((), (1,)) for s in facts.shapes[2:]):
        return None
    rule = conv(replace(facts, shapes=facts.shapes[:2]))
    if rule is None:
        return None
    return replace(_padded(rule, facts), linear=())


@RULES.register("QLinearConv")
def quantized_conv(facts: OpFacts) -> Rule | None:
    """`n c x0, -, -, m c k0, m, m, -, -, m -> n m y0; whole c`: sums are rounded, so they are made whole."""
    shapes = facts.shapes
    if len(shapes) < 8 or not shapes[0] or not shapes[3]:
        return None
    core = conv(replace(facts, shapes=(shapes[0], shapes[3]), weights=(False, facts.is_weight(3))))
    if core is None:
        return None
    channel = core.outputs[0][1]
    size = shapes[3][0]
    tensors = [_per_channel(shape, size, channel) for shape in shapes[4:]]
    if any(letters is None for letters in tensors):
        return None
    inputs = (core.inputs[0], (), (), core.inputs[1], *(t or () for t in tensors))
    column = core.column if core.units else ""
    whole = core.whole if core.units else core.whole | {"c"}
    solid = frozenset(core.solid - {"c"})
    return replace(core, inputs=inputs, reduce={}, whole=whole, linear=(), column=column, solid=solid)


def _plain(x: Shape) -> Rule:
    """Onnxruntime 1.31 refuses a weight without channels where it is constant ("channels must be greater than 0")."""
    spatial, kernel, result = _spatial(x)
    return Rule(
        (("n", "c", *spatial), ("m", "c", *kernel)),
        (("n", "m", *result),),
        reduce={"c": "sum"},
        whole=frozenset((*spatial, *kernel)),
        linear=_EITHER,
        solid=frozenset({"c", "m"}),
    )


def _grouped(x: Shape, groups: int, channels: Dim, outputs: Dim) -> Rule | None:
    """`n (c 2) x0, (c 3) i k0 -> n (c 3) y0; units c: group`: whole groups of channels; depthwise if one each."""
    if not isinstance(channels, int) or not isinstance(outputs, int) or channels % groups or outputs % groups:
        return None
    spatial, kernel, result = _spatial(x)
    source, target = (composite("c", *(n,) * (n > 1)) for n in (channels // groups, outputs // groups))
    return Rule(
        (("n", source, *spatial), (target, "i", *kernel)),
        (("n", target, *result),),
        whole=frozenset((*spatial, *kernel, "i")),
        linear=_EITHER,
        units={"c": ("group",)},
    )


def _turned(rule: Rule | None) -> Rule | None:
    """The weight of a transposed convolution: its first axis is that of the input channels."""
    if rule is None:
        return None
    x, w = rule.inputs
    return replace(rule, inputs=(x, (x[1], *w[1:])))


def _times(size: Dim, factor: int) -> Dim:
    return size * factor if isinstance(size, int) else None


def _spatial(x: Shape) -> tuple[Letters, Letters, Letters]:
    names = [[f"{letter}{i}" for i in range(len(x) - 2)] for letter in "xky"]
    return tuple(names[0]), tuple(names[1]), tuple(names[2])


def _with_bias(rule: Rule | None, facts: OpFacts, position: int) -> Rule | None:
    """A bias is added by every rank, so beside one nothing is summed."""
    if rule is None:
        return None
    channel = rule.outputs[0][1]
    named = replace(rule, row="c" if rule.units else "m", column="c") if facts.is_weight(1) else rule
    if len(facts.shapes) <= position or facts.shapes[position] is None:
        return _padded(named, facts)
    whole = named.whole if rule.units else named.whole | {"c"}
    biased = replace(named, inputs=(*rule.inputs, (channel,)), reduce={}, whole=whole, linear=())
    return biased if rule.units else replace(biased, column="", solid=frozenset({channel}))


def _padded(rule: Rule, facts: OpFacts) -> Rule:
    """No letters for the inputs that are left."""
    return replace(rule, inputs=(*rule.inputs, *(() for _ in facts.shapes[len(rule.inputs) :])))


def _per_channel(shape: Shape | None, size: Dim, channel: str) -> Letters | None:
    """Letters of a scale, zero point or bias; None if it is neither one number nor one per channel."""
    if shape is None or shape in ((), (1,)):
        return ()
    return (channel,) if len(shape) == 1 and shape[0] == size and size is not None else None
