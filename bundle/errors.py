"""What can go wrong with a bundle: a subclass says what the caller can do."""

from __future__ import annotations


class BundleError(Exception):
    """Root of this package's errors."""


class MissingKeyError(BundleError):
    """Nothing is stored under that key: register the model (again)."""


class CorruptBundleError(BundleError):
    """Stored data is not what its manifest or its schema says: register again; never retry the same read."""


class InvalidNameError(BundleError):
    """A model name or key that could escape its prefix, or cannot be one: choose another."""


class TooLargeError(BundleError):
    """Stored data exceeds the limit that the caller gave: raise the limit, or split the model further."""
