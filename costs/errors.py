"""Errors of this package: the root, and one subclass per decision of the caller."""

from __future__ import annotations


class CostError(Exception):
    """Root of everything that costs/ raises."""


class UnknownPriceError(CostError):
    """No price is on file for this region or operation: choose a listed one, or add it with its source."""


class MalformedUsageError(CostError):
    """A record of usage (a REPORT line, counts as JSON) does not have the form it claims: the bill would be wrong."""
