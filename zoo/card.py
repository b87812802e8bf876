"""The contract of a card: one model that the zoo can build, with real inputs and the right answers.

`zoo.testing.CardContract` holds every card to it.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

from numpy.typing import NDArray

from zoo.errors import OptionError
from zoo.options import OptionSpec, OptionsT, option_specs, parse_options

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs to a model, with the right answer where it is known.

    inputs: array by graph input; axis 0 counts the examples.
    truth:  array by name; the names and their meaning are the card's own. Read by its `check` only.
    origin: one line: where inputs and truth come from.
    """

    inputs: Arrays
    truth: Arrays
    origin: str


@dataclass(frozen=True)
class Verdict:
    """How a model's outputs compare with the truth.

    right: examples answered right.
    total: examples compared.
    ok:    whether that is as good as the model should be (a trained model may be wrong now and then).
    text:  one line for people.
    """

    right: int
    total: int
    ok: bool
    text: str


class Card(ABC, Generic[OptionsT]):
    """One model of the zoo.

    name:    what users call it; matches NAME_PATTERN and the entry point's name.
    summary: one line.
    options: frozen dataclass of the card's options, see zoo.options; NoOptions if it has none.
    """

    name: str
    summary: str
    options: type[OptionsT]

    @abstractmethod
    def build(self, options: OptionsT, folder: Path) -> Path:
        """Write `<name>.onnx` into folder (made if missing), external data beside it, and return its path.

        The same options give the same bytes.

        Raises:
            ZooError: the model cannot be built with these options.
        """

    @abstractmethod
    def examples(self, options: OptionsT, count: int) -> Examples:
        """The first `count` examples.

        Raises:
            OptionError: count < 1, or more than there are.
        """

    def inputs(self, options: OptionsT, count: int) -> Arrays:
        """The inputs of the first `count` examples; a card whose truth takes long to compute leaves it out here.

        Raises:
            OptionError: as `examples`.
        """
        return self.examples(options, count).inputs

    @abstractmethod
    def check(self, outputs: Arrays, examples: Examples) -> Verdict:
        """Compare a model's outputs (array by graph output) for `examples` with their truth.

        Raises:
            ZooError: an output is missing or has the wrong shape.
        """

    @property
    def specs(self) -> tuple[OptionSpec, ...]:
        """The declared options: name, type, default, help."""
        return option_specs(self.options)

    def parse(self, given: Mapping[str, object]) -> OptionsT:
        """Options from text (`{"layers": "12"}`) or typed values; what is not given gets its default.

        Raises:
            OptionError: an option is unknown or has a bad value.
        """
        return parse_options(self.name, self.options, given)

    def check_count(self, count: int, available: int | None = None) -> None:
        """Refuse a number of examples below 1 or above `available` (None = no bound).

        Raises:
            OptionError: if so.
        """
        if count < 1 or (available is not None and count > available):
            bound = ">= 1" if available is None else f"from 1 to {available}"
            raise OptionError(f"{self.name}, examples: expected a count {bound}, got {count}")

    def pick(self, outputs: Arrays, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
        """outputs[name], which must have this shape.

        Raises:
            OptionError: it is missing or has another shape.
        """
        if name not in outputs:
            raise OptionError(f"{self.name}, outputs: expected {name!r}, got {sorted(outputs)}")
        if outputs[name].shape != shape:
            raise OptionError(f"{self.name}, output {name}: expected shape {shape}, got {outputs[name].shape}")
        return outputs[name]
