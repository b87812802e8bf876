"""Ops that compute each output element from the input elements at the same place, with numpy's broadcasting."""

from __future__ import annotations

from partition.rules.facts import Dim, OpFacts, Shape, axis_letters
from partition.rules.registry import RULES
from partition.rules.rule import REPEATED, Letters, Rule

_BINARY = [
    "And",
    "BitShift",
    "BitwiseAnd",
    "BitwiseOr",
    "BitwiseXor",
    "Div",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Max",
    "Mean",
    "Min",
    "Mod",
    "Or",
    "Pow",
    "PRelu",
    "Sum",
    "Where",
    "Xor",
]
_UNARY = [
    "Abs",
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "BitwiseNot",
    "Cast",
    "Ceil",
    "Celu",
    "Cos",
    "Cosh",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "IsInf",
    "IsNaN",
    "LeakyRelu",
    "Log",
    "Mish",
    "Not",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Swish",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
]


@RULES.register(*_BINARY)
def broadcast(facts: OpFacts) -> Rule | None:
    """`a b, b -> a b`: an axis of size 1 is repeated; one whose sizes may differ stays whole."""
    return _broadcast(facts, ())


@RULES.register("Add", "Sub")
def additive(facts: OpFacts) -> Rule | None:
    """Sums of unsummed pieces are unsummed pieces of the sum, if both sides are."""
    return _broadcast(facts, (frozenset({0, 1}),))


@RULES.register("Mul")
def product(facts: OpFacts) -> Rule | None:
    """Linear in either factor."""
    return _broadcast(facts, (frozenset({0}), frozenset({1})))


@RULES.register(*_UNARY)
def unary(facts: OpFacts) -> Rule | None:
    """`a b -> a b`."""
    return _same(facts, ())


@RULES.register("Identity", "Neg")
def linear_unary(facts: OpFacts) -> Rule | None:
    """`a b -> a b`, linear."""
    return _same(facts, (frozenset({0}),))


@RULES.register("CastLike")
def cast_like(facts: OpFacts) -> Rule | None:
    """`a b, - -> a b`: of the second input only the type is read."""
    return _same(facts, ())


@RULES.register("Clip")
def clip(facts: OpFacts) -> Rule | None:
    """`a b, -, - -> a b`: the bounds are scalars."""
    return _same(facts, ())


@RULES.register("Dropout")
def dropout(facts: OpFacts) -> Rule | None:
    """`a b, -, - -> a b, a b` in inference; one that may train is random, so it has no axes to follow."""
    if len(facts.shapes) > 2 and facts.shapes[2] is not None and not _is_false(facts, 2):
        return None
    return _same(facts, ())


def _is_false(facts: OpFacts, position: int) -> bool:
    return position in facts.constants and not facts.constants[position].any()


def _same(facts: OpFacts, linear: tuple[frozenset[int], ...]) -> Rule | None:
    shape = facts.shapes[0]
    if shape is None:
        return None
    letters = axis_letters(len(shape))
    inputs = (letters, *(() for _ in facts.shapes[1:]))
    return Rule(inputs, tuple(letters for _ in facts.outputs), linear=linear)


def _broadcast(facts: OpFacts, linear: tuple[frozenset[int], ...]) -> Rule | None:
    shapes = [shape for shape in facts.shapes if shape is not None]
    if len(shapes) < len(facts.shapes) or facts.attributes.get("broadcast"):
        return None
    letters = axis_letters(max(map(len, shapes)))
    inputs = tuple(_aligned(shape, letters) for shape in shapes)
    whole = frozenset(name for i, name in enumerate(reversed(letters)) if not _agrees([_dim(s, i) for s in shapes]))
    return Rule(inputs, (letters,), whole=whole, linear=linear)


def _aligned(shape: Shape, letters: Letters) -> Letters:
    """The letters of an input: aligned to the right, `1` where the size is 1."""
    own = letters[len(letters) - len(shape) :]
    return tuple(REPEATED if dim == 1 else name for dim, name in zip(shape, own, strict=True))


def _dim(shape: Shape, from_right: int) -> Dim:
    return shape[-1 - from_right] if from_right < len(shape) else 1


def _agrees(dims: list[Dim]) -> bool:
    """Whether the sizes other than 1 are surely equal, so that none of them is a hidden 1."""
    sizes = [dim for dim in dims if dim != 1]
    return len(sizes) <= 1 or (sizes[0] is not None and all(dim == sizes[0] for dim in sizes))
