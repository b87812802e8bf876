"""Quantised numbers: per tensor, or per element of one axis."""

from __future__ import annotations

from dataclasses import replace

from partition.rules.facts import OpFacts, Shape, axis_letters, normal_axis
from partition.rules.matmul import matmul
from partition.rules.registry import RULES
from partition.rules.rule import Letters, Rule, composite


@RULES.register("DequantizeLinear", "QuantizeLinear")
def quantize(facts: OpFacts) -> Rule | None:
    """`a b, b, b -> a b`: scale and zero point are scalars, or follow their axis."""
    shape, scale = facts.shapes[:2]
    if not shape or scale is None:
        return None
    letters = axis_letters(len(shape))
    axis = normal_axis(facts.integer("axis", 1), len(shape))
    if facts.integer("block_size", 0):
        return _quantize_blocks(facts, letters, axis)
    if len(scale) > 1:
        return None
    own = () if scale in ((), (1,)) else letters[axis : axis + 1]
    return Rule((letters, *(() if s is None else own for s in facts.shapes[1:])), (letters,))


def _quantize_blocks(facts: OpFacts, letters: Letters, axis: int) -> Rule | None:
    """`a (b 32), a b, a b -> a (b 32)`: whole blocks, each with its scale."""
    shape, scale, block = facts.shapes[0] or (), facts.shapes[1] or (), facts.integer("block_size", 0)
    whole, blocks = shape[axis], scale[axis] if len(scale) == len(shape) else None
    if not isinstance(whole, int) or not isinstance(blocks, int) or whole != blocks * block:
        return None
    joined = (*letters[:axis], composite(letters[axis], block), *letters[axis + 1 :])
    return Rule((joined, *(() if s is None else letters for s in facts.shapes[1:])), (joined,))


@RULES.register("MatMulInteger")
def matmul_integer(facts: OpFacts) -> Rule | None:
    """`m k, k n, -, n -> m n; reduce k: sum`: sums of integers are exact.

    onnxruntime 1.31 leaves sums of nothing unset.
    """
    core = _product(facts, 0, 1)
    zeros = _followers(facts, core, {2: "m", 3: "n"})
    if core is None or zeros is None:
        return None
    return replace(core, inputs=(*core.inputs, *zeros), linear=(), solid=core.solid | {"k", "n"})


@RULES.register("MatMulIntegerToFloat", domain="com.microsoft")
def matmul_integer_to_float(facts: OpFacts) -> Rule | None:
    """`m k, k n, -, n, -, n, n -> m n; whole k`: scaled, and with its bias."""
    core = _product(facts, 0, 1)
    followers = _followers(facts, core, {2: "", 3: "n", 4: "", 5: "n", 6: "n"})
    if core is None or followers is None:
        return None
    inputs, solid = (*core.inputs, *followers), core.solid - {"k"} | {"m", "n"}
    return replace(core, inputs=inputs, reduce={}, whole=core.whole | {"k"}, linear=(), column="", solid=solid)


@RULES.register("QLinearMatMul")
def quantized_matmul(facts: OpFacts) -> Rule | None:
    """`m k, -, -, k n, n, n, -, - -> m n; whole k`: sums are rounded, so they are made whole."""
    core = _product(facts, 0, 3)
    followers = _followers(facts, core, {1: "m", 2: "m", 4: "n", 5: "n", 6: "", 7: ""})
    if core is None or followers is None:
        return None
    inputs = (core.inputs[0], *followers[:2], core.inputs[1], *followers[2:])
    return replace(
        core, inputs=inputs, reduce={}, whole=core.whole | {"k"}, linear=(), column="", solid=core.solid - {"k"} | {"n"}
    )


def _product(facts: OpFacts, left: int, right: int) -> Rule | None:
    """The rule of the product alone; a vector has no rows to speak of."""
    shapes = (facts.shapes[left], facts.shapes[right])
    if any(shape is None or len(shape) < 2 for shape in shapes):
        return None
    return matmul(replace(facts, shapes=shapes, weights=(facts.is_weight(left), facts.is_weight(right))))


def _followers(facts: OpFacts, core: Rule | None, letters: dict[int, str]) -> list[Letters] | None:
    """Letters of scales and zero points; None if one is neither a scalar nor one per row or column."""
    found: list[Letters] = []
    for position, letter in letters.items():
        shape: Shape | None = facts.shapes[position] if position < len(facts.shapes) else None
        if position >= len(facts.shapes):
            continue
        if shape is None or shape in ((), (1,)):
            found.append(())
        elif core is not None and len(shape) == 1 and letter and isinstance(shape[0], int):
            found.append((letter,))
        else:
            return None
    return found
