"""What a rule may look at: an op's attributes, shapes and small constant inputs; never weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Dim = int | str | None
Shape = tuple[Dim, ...]


@dataclass(frozen=True)
class OpFacts:
    """One op of a graph as its rule sees it.

    version:    opset version of the op's domain.
    shapes:     per input; None = absent or of unknown rank. A dim is a number, a symbol, or None = unknown.
    outputs:    the same per output.
    constants:  values of those inputs that are small constants, by position.
    weights:    per input, whether it is computed from initializers alone.
    """

    domain: str
    op_type: str
    version: int
    shapes: tuple[Shape | None, ...]
    outputs: tuple[Shape | None, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    constants: Mapping[int, NDArray[Any]] = field(default_factory=dict)
    weights: tuple[bool, ...] = ()

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        return int(self.attributes.get(name, default))

    def integers(self, name: str, position: int) -> tuple[int, ...] | None:
        """Integers given as attribute `name` (older opsets) or as constant input `position`; None = not given.

        Raises:
            LookupError: if they are given by an input that is no constant.
        """
        if name in self.attributes:
            return tuple(int(i) for i in self.attributes[name])
        if position in self.constants:
            return tuple(int(i) for i in np.atleast_1d(self.constants[position]))
        if position < len(self.shapes) and self.shapes[position] is not None:
            raise LookupError(name)
        return None

    def is_weight(self, position: int) -> bool:
        """Whether the input comes from initializers alone."""
        return position < len(self.weights) and self.weights[position]


def axis_letters(rank: int) -> tuple[str, ...]:
    """Names of the axes of a tensor: a, b, c, ..."""
    return tuple(chr(ord("a") + i) if i < 26 else f"a{i}" for i in range(rank))


def normal_axis(axis: int, rank: int) -> int:
    """A negative axis counted from the start."""
    return axis + rank if axis < 0 else axis
