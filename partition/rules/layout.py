"""Ops that move elements about without computing: only where an axis stays recognisably itself."""

from __future__ import annotations

from dataclasses import replace

from partition.rules.facts import OpFacts, axis_letters, normal_axis
from partition.rules.registry import RULES
from partition.rules.rule import REPEATED, Rule, composite

_AXES_BY_INPUT = 13  # the first opset in which all the ops of a divided look-up mean what they mean today
_LINEAR = (frozenset({0}),)


@RULES.register("Transpose")
def transpose(facts: OpFacts) -> Rule | None:
    """`a b -> b a`."""
    shape = facts.shapes[0]
    if shape is None:
        return None
    letters = axis_letters(len(shape))
    order = facts.attributes.get("perm") or range(len(shape) - 1, -1, -1)
    return Rule((letters,), (tuple(letters[int(i)] for i in order),), linear=_LINEAR)


@RULES.register("Flatten")
def flatten(facts: OpFacts) -> Rule | None:
    """`a b c -> a (b c)` for axis 1."""
    shape = facts.shapes[0]
    if not shape:
        return None
    letters, axis = axis_letters(len(shape)), normal_axis(facts.integer("axis", 1), len(shape))
    named = tuple(REPEATED if size == 1 else name for name, size in zip(letters, shape, strict=True))
    sides = ([name for name in side if name != REPEATED] for side in (named[:axis], named[axis:]))
    output = tuple(composite(*side) if side else REPEATED for side in sides)
    return Rule((named,), (output,), linear=_LINEAR)


@RULES.register("Squeeze", "Unsqueeze")
def squeeze(facts: OpFacts) -> Rule | None:
    """`a 1 b, - -> a b`, and back."""
    shape = facts.shapes[0]
    try:
        axes = facts.integers("axes", 1)
    except LookupError:
        return _squeeze_by_size(facts)
    if shape is None or axes is None:
        return None
    inputs = tuple(() for _ in facts.shapes[1:])
    if facts.op_type == "Squeeze":
        gone = {normal_axis(axis, len(shape)) for axis in axes}
        letters = tuple(REPEATED if i in gone else name for i, name in enumerate(axis_letters(len(shape))))
        return Rule((letters, *inputs), (tuple(x for x in letters if x != REPEATED),), linear=_LINEAR)
    new = {normal_axis(axis, len(shape) + len(axes)) for axis in axes}
    names = iter(axis_letters(len(shape)))
    output = tuple(REPEATED if i in new else next(names) for i in range(len(shape) + len(axes)))
    return Rule((axis_letters(len(shape)), *inputs), (output,), linear=_LINEAR)


def _squeeze_by_size(facts: OpFacts) -> Rule | None:
    """The same where the request gives the axes, and all sizes are known: what is not 1 stays in its order."""
    before, after = facts.shapes[0], facts.outputs[0]
    if before is None or after is None or not all(isinstance(dim, int) for dim in (*before, *after)):
        return None
    if [dim for dim in before if dim != 1] != [dim for dim in after if dim != 1]:
        return None
    letters = tuple(REPEATED if dim == 1 else name for name, dim in zip(axis_letters(len(before)), before, strict=True))
    names = iter(name for name in letters if name != REPEATED)
    output = tuple(REPEATED if dim == 1 else next(names) for dim in after)
    return Rule((letters, ()), (output,), linear=_LINEAR, solid=frozenset(letters) - {REPEATED})


@RULES.register("Concat")
def concat(facts: OpFacts) -> Rule | None:
    """`a b, a c -> a y`: the joined axis stays whole; the others follow where all inputs surely agree."""
    shapes = [shape for shape in facts.shapes if shape is not None]
    if len(shapes) < len(facts.shapes):
        return None
    rank = len(shapes[0])
    axis = normal_axis(facts.integer("axis", 0), rank)
    letters = axis_letters(rank)
    inputs = tuple((*letters[:axis], f"x{i}", *letters[axis + 1 :]) for i in range(len(shapes)))
    output = (*letters[:axis], "y", *letters[axis + 1 :])
    whole = frozenset(f"x{i}" for i in range(len(shapes)))
    return Rule(inputs, (output,), whole=whole, linear=(frozenset(range(len(shapes))),))


@RULES.register("Gather")
def gather(facts: OpFacts) -> Rule | None:
    """`v d, a b -> a b d; whole v`: a table's rows are looked up; every other axis follows.

    Of a weight `v` is divided too, `reduce v: sum; places v: 1`.
    """
    table, indices = facts.shapes[:2]
    if table is None or indices is None:
        return None
    axis = normal_axis(facts.integer("axis", 0), len(table))
    names = tuple(f"d{i}" for i in range(len(table)))
    looked_up = axis_letters(len(indices))
    output = (*names[:axis], *looked_up, *names[axis + 1 :])
    rule = Rule((names, looked_up), (output,), whole=frozenset({names[axis]}), linear=_LINEAR)
    is_table = facts.is_weight(0) and axis == 0 and isinstance(table[0], int) and facts.version >= _AXES_BY_INPUT
    if not is_table or len(table) != 2:
        return rule
    rows, features = names
    return replace(
        rule,
        whole=frozenset(),
        row=features,
        column=rows,
        reduce={rows: "sum"},
        solid=frozenset({rows}),
        places={rows: 1},
    )
