"""Einsum names its axes itself."""

from __future__ import annotations

import re

from partition.rules.facts import Dim, OpFacts, Shape
from partition.rules.registry import RULES
from partition.rules.rule import REPEATED, Letters, Rule


@RULES.register("Einsum")
def einsum(facts: OpFacts) -> Rule | None:
    """The letters of the equation; those that vanish are summed. An ellipsis or a diagonal has no rule.

    onnxruntime 1.31 divides by zero where it sums over nothing.
    """
    terms, result = _equation(facts.attributes["equation"])
    shapes = [shape for shape in facts.shapes if shape is not None]
    fits = len(shapes) == len(terms) and all(map(_names_axes, terms, shapes))
    if not fits or not _names_axes(result, tuple(result)):
        return None
    inputs = tuple(map(_letters, terms, shapes))
    letters = sorted({name for axes in inputs for name in axes} - {REPEATED})
    row, column = _neurons(facts, inputs, result)
    return Rule(
        inputs,
        (tuple(result),),
        reduce={name: "sum" for name in letters if name not in result},
        whole=frozenset(name for name in letters if not _agrees(name, terms, shapes)),
        row=row,
        column=column,
        linear=tuple(frozenset({i}) for i in range(len(inputs))),
        solid=frozenset(name for name in letters if name not in result),
    )


def _equation(text: bytes | str) -> tuple[list[str], str]:
    """Terms and result; an implicit result has the letters that occur once, in order."""
    plain = re.sub(r"\s", "", text.decode() if isinstance(text, bytes) else text)
    left, arrow, result = plain.partition("->")
    if not arrow:
        result = "".join(sorted(x for x in set(left) - {","} if left.count(x) == 1))
    return left.split(","), result


def _names_axes(term: str, shape: Shape) -> bool:
    return (term.isalpha() and len(set(term)) == len(term) == len(shape)) or (not term and not shape)


def _letters(term: str, shape: Shape) -> Letters:
    return tuple(REPEATED if size == 1 else name for name, size in zip(term, shape, strict=True))


def _agrees(name: str, terms: list[str], shapes: list[Shape]) -> bool:
    """Whether the sizes other than 1 are surely equal."""
    sizes: set[Dim] = {s[t.index(name)] for t, s in zip(terms, shapes, strict=True) if name in t} - {1}
    occurs = sum(name in term for term in terms)
    return len(sizes) == 1 and (occurs == 1 or None not in sizes)


def _neurons(facts: OpFacts, inputs: tuple[Letters, ...], result: str) -> tuple[str, str]:
    """Of the only weight, an axis of its own that stays, and one shared that vanishes."""
    weights = [i for i in range(len(inputs)) if facts.is_weight(i)]
    if len(weights) != 1 or len(inputs) != 2:
        return "", ""
    weight, other = inputs[weights[0]], inputs[1 - weights[0]]
    rows = [x for x in weight if x in result and x not in other]
    columns = [x for x in weight if x in other and x not in result and x != REPEATED]
    return "".join(rows[:1]), "".join(columns[:1])
