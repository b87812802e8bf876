"""Fused ops of onnxruntime that compute by elements or by rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from partition.rules.conv import conv
from partition.rules.facts import OpFacts, axis_letters
from partition.rules.matmul import matmul
from partition.rules.registry import RULES
from partition.rules.rule import REPEATED, Rule

_T = TypeVar("_T")
_DOMAIN = "com.microsoft"


@RULES.register("BiasGelu", "FastGelu", "Gelu", "QuickGelu", domain=_DOMAIN)
def gelu(facts: OpFacts) -> Rule | None:
    """`a b, b -> a b`: the bias, where there is one, is that of the last axis."""
    shape = facts.shapes[0]
    if not shape:
        return None
    letters = axis_letters(len(shape))
    return Rule((letters, *(letters[-1:] if s else () for s in facts.shapes[1:])), (letters,))


@RULES.register("SkipLayerNormalization", "SkipSimplifiedLayerNormalization", domain=_DOMAIN)
def skip_layer_norm(facts: OpFacts) -> Rule | None:
    """`a b c, b c, -, -, - -> a b c, a b 1, a b 1, a b c; whole c`: the second summand may be the same for all `a`."""
    shape, skip = facts.shapes[:2]
    if not shape or not skip or len(skip) > len(shape):
        return None
    letters = axis_letters(len(shape))
    own, sizes = letters[-len(skip) :], shape[-len(skip) :]
    if any(size != 1 and (size is None or size != want) for size, want in zip(skip, sizes, strict=True)):
        return None
    second = tuple(REPEATED if size == 1 else name for name, size in zip(own, skip, strict=True))
    scales = (*letters[:-1], REPEATED)
    outputs = (letters, scales, scales, letters)[: len(facts.outputs)]
    return Rule((letters, second, *(() for _ in facts.shapes[2:])), outputs, whole=frozenset(letters[-1:]))


@RULES.register("FusedConv", domain=_DOMAIN)
def fused_conv(facts: OpFacts) -> Rule | None:
    """`n c x0, m c k0, m -> n m y0; whole c`: a sum is whole before it is activated."""
    if len(facts.shapes) > 3:
        return None
    core = conv(replace(facts, shapes=(*facts.shapes[:2], (None,)), weights=facts.weights[:2]))
    return None if core is None else replace(core, inputs=core.inputs[: len(facts.shapes)])


@RULES.register("FusedMatMul", domain=_DOMAIN)
def fused_matmul(facts: OpFacts) -> Rule | None:
    """As MatMul, with the last two axes of a side exchanged where it says so."""
    left, right = facts.shapes
    swaps = [facts.integer(name, 0) for name in ("transA", "transB")]
    batched = facts.integer("transBatchA", 0) or facts.integer("transBatchB", 0)
    if not left or not right or min(len(left), len(right)) < 2 or batched:
        return None
    sides = [_swapped(side, swap) for side, swap in zip((left, right), swaps, strict=True)]
    core = matmul(replace(facts, shapes=tuple(sides)))
    if core is None:
        return None
    inputs = tuple(_swapped(axes, swap) for axes, swap in zip(core.inputs, swaps, strict=True))
    return replace(core, inputs=inputs, solid=core.solid | {"k", "n"})


def _swapped(axes: tuple[_T, ...], swap: int) -> tuple[_T, ...]:
    return (*axes[:-2], axes[-1], axes[-2]) if swap else axes
