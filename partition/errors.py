"""What can go wrong while compiling: a subclass says what the caller can do. Messages are one line."""

from __future__ import annotations


class CompileError(Exception):
    """Root of this package's errors."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class InvalidModelError(CompileError):
    """The file is no ONNX model that onnxruntime could run: mend or replace it."""


class UnsafeModelError(CompileError):
    """The file refers to data outside of its folder: do not run it."""


class UnsupportedModelError(CompileError):
    """A legal model that this compiler cannot place: use `serial`, or report it."""


class StrategyError(CompileError):
    """The request cannot be: choose another strategy or number of workers."""


class RuleError(CompileError):
    """A sharding rule is malformed: a bug of the rule."""
