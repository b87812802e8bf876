"""onnxruntime's ops on quantised numbers, each tensor with its scale and zero point behind it."""

from __future__ import annotations

from dataclasses import replace

from partition.rules.elementwise import broadcast
from partition.rules.facts import OpFacts
from partition.rules.layout import concat
from partition.rules.pooling import global_pool, pool
from partition.rules.registry import RULES
from partition.rules.rule import REPEATED, Letters, Rule
from partition.rules.softmax import softmax

_DOMAIN = "com.microsoft"


@RULES.register("QLinearAdd", "QLinearMul", domain=_DOMAIN)
def quantized_binary(facts: OpFacts) -> Rule | None:
    """`a b, -, -, b, -, -, -, - -> a b`."""
    return _spread(facts, broadcast(_only(facts, 0, 3)), 0, 3)


@RULES.register("QLinearWhere", domain=_DOMAIN)
def quantized_where(facts: OpFacts) -> Rule | None:
    """`a b, a b, -, -, b, -, -, -, - -> a b`."""
    return _spread(facts, broadcast(_only(facts, 0, 1, 4)), 0, 1, 4)


@RULES.register("QLinearLeakyRelu", "QLinearSigmoid", domain=_DOMAIN)
def quantized_unary(facts: OpFacts) -> Rule | None:
    """`a b, -, -, -, - -> a b`."""
    return _spread(facts, broadcast(_only(facts, 0)), 0)


@RULES.register("QLinearSoftmax", domain=_DOMAIN)
def quantized_softmax(facts: OpFacts) -> Rule | None:
    """`a b, -, -, -, - -> a b; whole b; guard a`: onnxruntime 1.31 refuses no rows."""
    rule = _spread(facts, softmax(replace(_only(facts, 0), version=facts.integer("opset", 1))), 0)
    return None if rule is None else replace(rule, guard=frozenset(rule.letters))


@RULES.register("QLinearAveragePool", domain=_DOMAIN)
def quantized_pool(facts: OpFacts) -> Rule | None:
    """`n c x0, -, -, -, - -> n c y0; whole x0`."""
    return _pooled(facts, pool(_only(facts, 0)))


@RULES.register("QLinearGlobalAveragePool", domain=_DOMAIN)
def quantized_global_pool(facts: OpFacts) -> Rule | None:
    """`n c x0, -, -, -, - -> n c 1; whole x0`."""
    return _pooled(facts, global_pool(_only(facts, 0)))


@RULES.register("QLinearConcat", domain=_DOMAIN)
def quantized_concat(facts: OpFacts) -> Rule | None:
    """`-, -, a x0, -, -, a x1, -, - -> a y; whole x0 x1`."""
    places = range(2, len(facts.shapes), 3)
    return _spread(facts, concat(_only(facts, *places)), *places)


@RULES.register("QGemm", domain=_DOMAIN)
def quantized_gemm(facts: OpFacts) -> Rule | None:
    """`m k, -, -, k n, n, n, n, -, - -> m n; whole k`: sums are rounded, so they are made whole."""
    left, right = facts.shapes[0], facts.shapes[3]
    if not left or not right:
        return None
    a: Letters = ("k", "m") if facts.integer("transA", 0) else ("m", "k")
    b: Letters = ("n", "k") if facts.integer("transB", 0) else ("k", "n")
    width = right[b.index("n")]
    inputs: list[Letters] = [a, (), (), b]
    for shape in facts.shapes[4:7]:
        if shape is not None and (len(shape) > 1 or shape not in ((), (1,), (width,))):
            return None
        inputs.append(("n",) if shape and shape[0] != 1 else ())
    row = "n" if facts.is_weight(3) else ""
    given = tuple((*inputs, (), ())[: len(facts.shapes)])
    return Rule(given, (("m", "n"),), whole=frozenset({"k"}), row=row, solid=frozenset({"m", "n"}))


@RULES.register("DynamicQuantizeMatMul", domain=_DOMAIN)
def dynamic_matmul(facts: OpFacts) -> Rule | None:
    """`a m k, k n, n, n, n -> a m n; whole a m k`: one scale for all of the left side."""
    left, right = facts.shapes[:2]
    if not left or not right or len(right) != 2:
        return None
    names = (*(f"a{i}" for i in range(len(left) - 2)), "m", "k")
    rest = tuple(("n",) if shape and shape[0] != 1 else () for shape in facts.shapes[2:])
    row = "n" if facts.is_weight(1) else ""
    return Rule(
        (names, ("k", "n"), *rest), ((*names[:-1], "n"),), whole=frozenset(names), row=row, solid=frozenset({"n"})
    )


def _only(facts: OpFacts, *places: int) -> OpFacts:
    """The op without scales and zero points."""
    inside = [i for i in places if i < len(facts.shapes)]
    return replace(facts, shapes=tuple(facts.shapes[i] for i in inside), weights=(), constants={})


def _spread(facts: OpFacts, core: Rule | None, *places: int) -> Rule | None:
    """The rule with its inputs at these places, and nothing of which the sum could stay unsummed."""
    if core is None:
        return None
    inputs: list[Letters] = [()] * len(facts.shapes)
    for place, axes in zip(places, core.inputs, strict=True):
        inputs[place] = axes
    return replace(core, inputs=tuple(inputs), linear=(), solid=core.solid - {REPEATED})


def _pooled(facts: OpFacts, core: Rule | None) -> Rule | None:
    return None if facts.integer("channels_last", 0) else _spread(facts, core, 0)
