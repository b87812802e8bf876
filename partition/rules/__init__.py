"""Sharding rules: one short function per op or family, each naming axes by letters."""

from __future__ import annotations

from partition.rules import (
    conv,
    einsum,
    elementwise,
    indexing,
    layout,
    matmul,
    moving,
    normalization,
    pooling,
    quantized,
    reduction,
    softmax,
    sparse,
)
from partition.rules.facts import OpFacts
from partition.rules.registry import RULES, RuleBook
from partition.rules.rule import REPEATED, Letters, Rule

__all__ = ["REPEATED", "RULES", "Letters", "OpFacts", "Rule", "RuleBook"]
_MODULES = (
    conv,
    einsum,
    elementwise,
    indexing,
    layout,
    matmul,
    moving,
    normalization,
    pooling,
    quantized,
    reduction,
    softmax,
    sparse,
)
