"""Classical learning (ai.onnx.ml): models that take one sample at a time, their parameters being attributes."""

from __future__ import annotations

from partition.rules.facts import OpFacts, axis_letters
from partition.rules.registry import RULES
from partition.rules.rule import Rule

_DOMAIN = "ai.onnx.ml"


@RULES.register(
    "LinearClassifier",
    "LinearRegressor",
    "Normalizer",
    "SVMRegressor",
    "TreeEnsembleClassifier",
    "TreeEnsembleRegressor",
    domain=_DOMAIN,
)
def by_row(facts: OpFacts) -> Rule | None:
    """`n f -> n y`, `n f -> n, n y` of a classifier; whole f."""
    shape = facts.shapes[0]
    if not shape or len(shape) != 2:
        return None
    classifies = facts.op_type.endswith("Classifier")
    outputs = (("n",), ("n", "y")) if classifies else (("n", "y"),)
    return Rule((("n", "f"),), outputs[: len(facts.outputs)], whole=frozenset({"f"}))


@RULES.register("Imputer", "Scaler", domain=_DOMAIN)
def by_feature(facts: OpFacts) -> Rule | None:
    """`n f -> n f; whole f`: a number for each feature, listed in an attribute."""
    shape = facts.shapes[0]
    if not shape or len(shape) != 2:
        return None
    return Rule((("n", "f"),), (("n", "f"),), whole=frozenset({"f"}))


@RULES.register("Binarizer", "LabelEncoder", domain=_DOMAIN)
def by_element(facts: OpFacts) -> Rule | None:
    """`a b -> a b`."""
    shape = facts.shapes[0]
    if shape is None:
        return None
    letters = axis_letters(len(shape))
    return Rule((letters,), (letters,))
