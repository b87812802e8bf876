"""The compiler: an ONNX graph and a strategy become a bundle, one program and shard per rank.

Stages: frontend (read, check) -> normalize -> sparse.fuse -> rules -> policy and search (placements) -> schedule ->
emit (sub-graphs, shards, programs).
"""

from __future__ import annotations

from partition.compile import CompiledModel, Options, compile_for, compile_model, compile_to_store, prepare
from partition.errors import (
    CompileError,
    InvalidModelError,
    RuleError,
    StrategyError,
    UnsafeModelError,
    UnsupportedModelError,
)
from partition.grid import STRATEGIES, parse_strategy
from partition.sparse.fuse import Sparsity

__all__ = [
    "STRATEGIES",
    "CompileError",
    "CompiledModel",
    "InvalidModelError",
    "Options",
    "RuleError",
    "Sparsity",
    "StrategyError",
    "UnsafeModelError",
    "UnsupportedModelError",
    "compile_for",
    "compile_model",
    "compile_to_store",
    "parse_strategy",
    "prepare",
]
