"""Options of a card: the fields of a frozen dataclass, read from text (`--option k=v`) or JSON values.

A card declares `class MyOptions` with `layers: int = option(120, "number of layers", minimum=1)`; the field's
annotation is its type: bool, int, float, str or Path, or one of them `| None`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_type_hints

from zoo.errors import OptionError

T = TypeVar("T")
OptionsT = TypeVar("OptionsT")

_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


@dataclass(frozen=True)
class NoOptions:
    """For a card that has no options."""


@dataclass(frozen=True)
class OptionSpec:
    """One declared option.

    type:    bool, int, float, str or Path.
    default: the value if not given; None only where `nullable`.
    minimum: smallest value allowed; None = no bound.
    """

    name: str
    type: type
    nullable: bool
    default: object
    help: str
    minimum: float | None

    def __str__(self) -> str:
        """`layers (int, default 120)`."""
        return f"{self.name} ({self.type.__name__}, default {_show(self.default)})"

    @property
    def expected(self) -> str:
        """What a value must be, in words: `int >= 1`."""
        values = f"{self.type.__name__} true or false" if self.type is bool else self.type.__name__
        return values if self.minimum is None else f"{values} >= {self.minimum}"


def option(default: T, help: str, *, minimum: float | None = None) -> T:
    """Declare an option with its default and one line of help."""
    declared: T = field(default=default, metadata={"help": help, "minimum": minimum})
    return declared


def option_specs(options: type) -> tuple[OptionSpec, ...]:
    """The declared options of an options dataclass, in order.

    Raises:
        TypeError: if a field's annotation is no option type.
    """
    hints = get_type_hints(options)
    return tuple(
        OptionSpec(f.name, *_option_type(f.name, hints[f.name]), f.default, **_metadata(f.metadata))
        for f in fields(options)
    )


def parse_options(card_name: str, options: type[OptionsT], given: Mapping[str, object]) -> OptionsT:
    """Options from what a user gave, as text or typed; what is not given gets its default.

    Raises:
        OptionError: an option is unknown or has a bad value; the message lists the known ones.
    """
    specs = {spec.name: spec for spec in option_specs(options)}
    unknown = [name for name in given if name not in specs]
    if unknown:
        known = ", ".join(map(str, specs.values())) or "none"
        raise OptionError(f"{card_name} has no option {unknown[0]!r}; known options: {known}")
    return options(**{name: _read(card_name, specs[name], value) for name, value in given.items()})


def _read(card_name: str, spec: OptionSpec, value: object) -> object:
    """A checked value of the option's type."""
    if value is None and spec.nullable:
        return None
    try:
        result = _READERS[spec.type](value)
    except (TypeError, ValueError):
        raise _bad_value(card_name, spec, value) from None
    if spec.minimum is not None and not result >= spec.minimum:
        raise _bad_value(card_name, spec, value)
    return result


def _bad_value(card_name: str, spec: OptionSpec, value: object) -> OptionError:
    return OptionError(f"{card_name}, option {spec.name} ({spec.help}): expected {spec.expected}, got {_clip(value)}")


def _clip(value: object, limit: int = 80) -> str:
    """A value's repr on one line, cut to `limit` characters."""
    text = repr(value)
    return text if len(text) <= limit else text[:limit] + "..."


def _read_bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _TRUE + _FALSE:
        return value.lower() in _TRUE
    raise ValueError


def _read_int(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError
    return int(value)


def _read_float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    return float(value)


def _read_str(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _read_path(value: object) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise TypeError
    return Path(value)


_READERS: Mapping[type, Callable[[object], Any]] = {
    bool: _read_bool,
    int: _read_int,
    float: _read_float,
    str: _read_str,
    Path: _read_path,
}


def _option_type(name: str, hint: object) -> tuple[type, bool]:
    """(type, nullable) of an annotation."""
    parts = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    types = [part for part in parts if part is not type(None)]
    if len(types) != 1 or types[0] not in _READERS:
        raise TypeError(f"option {name}: expected bool, int, float, str or Path, or one of them | None, got {hint}")
    return types[0], len(parts) == 2


def _metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {"help": metadata.get("help", ""), "minimum": metadata.get("minimum")}


def _show(default: object) -> str:
    return str(default).lower() if isinstance(default, bool | None) else str(default)
