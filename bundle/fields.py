"""Strict reading of JSON: each field is taken once with its type and range; a missing or unknown field is an error.

Manifests and programs cross a trust boundary (they are read from a bucket), so nothing in them is believed unseen.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NoReturn

MAX_JSON_BYTES = 256 << 20
MAX_INT = 2**63 - 1


class FieldError(ValueError):
    """A JSON document that does not have the expected fields; the caller turns it into its own error."""


class Fields:
    """A JSON object whose fields are taken one by one; `done` refuses what is left over."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise FieldError(f"{where}: expected an object, got {_kind(value)}")
        self._left: dict[str, Any] = dict(value)
        self.where = where

    def has(self, name: str) -> bool:
        """Whether a field is present and not yet taken."""
        return name in self._left

    def raw(self, name: str) -> object:
        """Take a field of any type.

        Raises:
            FieldError: if it is missing.
        """
        if name not in self._left:
            raise FieldError(f"{self.where}: field {name!r} is missing")
        return self._left.pop(name)

    def text(self, name: str, default: str | None = None) -> str:
        """Take a string."""
        if default is not None and name not in self._left:
            return default
        return self._typed(name, self.raw(name), str)

    def integer(self, name: str, default: int | None = None, low: int = 0, high: int = MAX_INT) -> int:
        """Take an integer in [low, high]."""
        if default is not None and name not in self._left:
            return default
        return self._bounded(name, self.raw(name), low, high)

    def texts(self, name: str) -> tuple[str, ...]:
        """Take an array of strings; absent = empty."""
        return tuple(self._typed(name, item, str) for item in self.items(name))

    def integers(self, name: str, low: int = 0, high: int = MAX_INT) -> tuple[int, ...]:
        """Take an array of integers, each in [low, high]; absent = empty."""
        return tuple(self._bounded(name, item, low, high) for item in self.items(name))

    def objects(self, name: str) -> list[Fields]:
        """Take an array of objects; absent = empty."""
        return [Fields(item, f"{self.where}.{name}[{i}]") for i, item in enumerate(self.items(name))]

    def items(self, name: str) -> list[Any]:
        """Take an array; absent = empty."""
        if name not in self._left:
            return []
        value = self.raw(name)
        return value if isinstance(value, list) else self.fail(name, "an array", value)

    def mapping(self, name: str) -> dict[str, Any]:
        """Take an object as it is; absent = empty."""
        if name not in self._left:
            return {}
        value = self.raw(name)
        return value if isinstance(value, dict) else self.fail(name, "an object", value)

    def done(self) -> None:
        """Refuse fields that nobody took.

        Raises:
            FieldError: naming them.
        """
        if self._left:
            raise FieldError(f"{self.where}: unknown fields {sorted(self._left)}")

    def fail(self, name: str, expected: str, got: object) -> NoReturn:
        """Raise the one-line error of a field that is not what it should be."""
        raise FieldError(f"{self.where}.{name}: expected {expected}, got {_kind(got)}")

    def _typed(self, name: str, value: object, kind: type[str]) -> str:
        return value if isinstance(value, kind) else self.fail(name, "a string", value)

    def _bounded(self, name: str, value: object, low: int, high: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.fail(name, f"an integer in [{low}, {high}]", value)
        return int(value)


def parse_json(data: bytes | str, where: str, max_bytes: int = MAX_JSON_BYTES) -> Fields:
    """The fields of a JSON document.

    Raises:
        FieldError: if it is too long, no JSON, no object, or holds NaN, Infinity or a key twice.
    """
    if len(data) > max_bytes:
        raise FieldError(f"{where}: expected at most {max_bytes} bytes of JSON, got {len(data)}")
    try:
        value = json.loads(data, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise FieldError(f"{where}: no valid JSON: {str(error) or type(error).__name__}") from error
    return Fields(value, where)


def canonical_json(value: object, default: Callable[[object], object] | None = None) -> bytes:
    """The one encoding of a JSON value that is hashed: sorted keys, no spaces, ASCII only.

    default: turns an object that JSON does not know into one that it does.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=default).encode("ascii")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key occurs twice")
    return value


def _kind(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{type(value).__name__} {text[:50]}..."
