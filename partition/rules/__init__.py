"""Sharding rules: one short function per op or family, each naming axes by letters."""

from __future__ import annotations

from partition.rules import (
    attention,
    blocked,
    conv,
    einsum,
    elementwise,
    fused,
    indexing,
    layout,
    matmul,
    moving,
    normalization,
    pooling,
    qlinear,
    quantized,
    recurrent,
    reduction,
    reshape,
    rowwise,
    softmax,
    sparse,
    vision,
)
from partition.rules.facts import OpFacts
from partition.rules.registry import RULES, RuleBook
from partition.rules.rule import REPEATED, Letters, Rule

__all__ = ["REPEATED", "RULES", "Letters", "OpFacts", "Rule", "RuleBook"]
_MODULES = (
    attention,
    blocked,
    conv,
    einsum,
    elementwise,
    fused,
    indexing,
    layout,
    matmul,
    moving,
    normalization,
    pooling,
    qlinear,
    quantized,
    recurrent,
    reduction,
    reshape,
    rowwise,
    softmax,
    sparse,
    vision,
)
