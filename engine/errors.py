"""What can go wrong while a program runs: a subclass says what the caller can do."""

from __future__ import annotations


class EngineError(Exception):
    """Root of this package's errors."""


class ProgramError(EngineError):
    """The program is malformed or asks for what this machine cannot do: compile the model again."""


class FeedError(EngineError):
    """The request's inputs do not fit the program: correct the request."""


class KernelError(EngineError):
    """A kernel refused its inputs; the message names step and kernel."""


class ExchangeError(EngineError):
    """Another rank sent what the program does not expect: give up this attempt."""
