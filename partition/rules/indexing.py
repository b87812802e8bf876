"""Ops that read or write elements at places given by another input; Gather is in layout."""

from __future__ import annotations

from partition.rules.facts import OpFacts, Shape, axis_letters, normal_axis
from partition.rules.registry import RULES
from partition.rules.rule import Letters, Rule


@RULES.register("GatherElements")
def gather_elements(facts: OpFacts) -> Rule | None:
    """`a b, a i -> a i; whole b`: along the other axes, places are those of the data, if both are as long."""
    data, indices = facts.shapes[:2]
    if not data or not indices:
        return None
    axis = normal_axis(facts.integer("axis", 0), len(data))
    letters = axis_letters(len(data))
    picked = _with(letters, axis, "i")
    whole = _unequal(data, indices, letters, axis) | {letters[axis]}
    return Rule((letters, picked), (picked,), whole=whole)


@RULES.register("ScatterElements", "Scatter")
def scatter_elements(facts: OpFacts) -> Rule | None:
    """`a b, a i, a i -> a b; whole b i`."""
    data, indices = facts.shapes[:2]
    if not data or not indices:
        return None
    axis = normal_axis(facts.integer("axis", 0), len(data))
    letters = axis_letters(len(data))
    placed = _with(letters, axis, "i")
    whole = _unequal(data, indices, letters, axis) | {letters[axis], "i"}
    return Rule((letters, placed, placed), (letters,), whole=whole)


@RULES.register("GatherND")
def gather_nd(facts: OpFacts) -> Rule | None:
    """`d0 d1, a k -> a d1; whole d0 k`: axes after those that `k` places say, and those that come before, in both."""
    data, indices = facts.shapes[:2]
    if not data or not indices or not isinstance(indices[-1], int):
        return None
    batches = facts.integer("batch_dims", 0)
    names, looked_up = _names(data), axis_letters(len(indices) - 1)
    if any(data[i] is None or data[i] != indices[i] for i in range(batches)):
        return None
    looked_up = (*names[:batches], *looked_up[batches:])
    depth = batches + indices[-1]
    whole = frozenset((*names[batches:depth], "k"))
    return Rule((names, (*looked_up, "k")), ((*looked_up, *names[depth:]),), whole=whole)


@RULES.register("ScatterND")
def scatter_nd(facts: OpFacts) -> Rule | None:
    """`d0 d1, a k, a d1 -> d0 d1; whole a d0 k`."""
    data, indices = facts.shapes[:2]
    if not data or not indices or not isinstance(indices[-1], int):
        return None
    names, placed = _names(data), axis_letters(len(indices) - 1)
    depth = indices[-1]
    whole = frozenset((*names[:depth], *placed, "k"))
    return Rule((names, (*placed, "k"), (*placed, *names[depth:])), (names,), whole=whole)


def _names(shape: Shape) -> Letters:
    return tuple(f"d{i}" for i in range(len(shape)))


def _with(letters: Letters, axis: int, name: str) -> Letters:
    return (*letters[:axis], name, *letters[axis + 1 :])


def _unequal(data: Shape, indices: Shape, letters: Letters, axis: int) -> frozenset[str]:
    """Axes along which the indices may be shorter than the data."""
    pairs = enumerate(zip(data, indices, strict=True))
    return frozenset(letters[i] for i, (d, n) in pairs if i != axis and (d is None or d != n))
