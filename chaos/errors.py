"""How the harness itself can fail."""

from __future__ import annotations


class ChaosError(Exception):
    """Root: the harness cannot do its work; says nothing about the service."""


class PlanError(ChaosError):
    """A plan that cannot be read, or asks for what does not exist."""


class Interrupted(ChaosError):
    """Somebody ends the series before it is done: what there is of it is reported."""
