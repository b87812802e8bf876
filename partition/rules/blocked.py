"""Weights quantised in blocks along their input neurons: a block has a scale, and is never cut."""

from __future__ import annotations

from partition.rules.facts import OpFacts, Shape, axis_letters
from partition.rules.registry import RULES
from partition.rules.rule import Letters, Rule, composite, factors


@RULES.register("MatMulNBits", domain="com.microsoft")
def matmul_nbits(facts: OpFacts) -> Rule | None:
    """`a m (q 32), n q p, n q, n z, -, n -> a m n; reduce q: sum; row n; column q; units n: N; units q: K`.

    `q` are blocks of input neurons. They are not divided beside a bias, which every rank would add, nor where zero
    points of two blocks share a byte, nor where an input says which block a neuron is of.
    """
    x, weight = facts.shapes[:2]
    if not x or not weight or len(weight) != 3 or not all(isinstance(size, int) for size in weight[:2]):
        return None
    block = facts.integer("block_size", 0)
    rows, blocks = (int(size) for size in weight[:2] if isinstance(size, int))
    even = facts.integer("K", 0) == block * blocks == x[-1]
    names = axis_letters(len(x) - 1)
    scales, zeros = (_per_block(facts, i, rows, blocks) for i in (2, 3))
    given = [(*names, composite("q", block) if even else "k"), ("n", "q", "p"), scales, zeros, (), ("n",)]
    inputs = tuple(axes if s is not None else () for axes, s in zip(given, facts.shapes, strict=False))
    letters = {name for axes in inputs for axis in axes for name in factors(axis)}
    mixed = not even or "z" in letters or any(s is not None for s in facts.shapes[4:])
    whole = letters & {"p", "k", "z", *("q" if mixed else "")}
    is_weight = facts.is_weight(1)
    return Rule(
        inputs,
        ((*names, "n"),),
        reduce={} if mixed else {"q": "sum"},
        whole=frozenset(whole),
        row="n" if is_weight else "",
        column="q" if is_weight and not mixed else "",
        units={"n": ("N",), **({} if mixed else {"q": ("K",)})},
    )


def _per_block(facts: OpFacts, position: int, rows: int, blocks: int) -> Letters:
    """Letters of scales or zero points, [rows, blocks] or in one axis; zero points may share bytes."""
    shape: Shape | None = facts.shapes[position] if position < len(facts.shapes) else None
    if shape is None:
        return ()
    size = shape[-1]
    each = size // rows if len(shape) == 1 and isinstance(size, int) else size
    name = "q" if each == blocks else "z"
    return ("n", name) if len(shape) == 2 else (composite("n", name),)
