"""Finds a kernel by the name that a program gives it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channels.tensors import LiveTensor, Tensor
from engine.errors import KernelError, ProgramError
from engine.loaded import LoadedRank
from engine.program import Run

_NOT_KERNELS = frozenset({"registry", "sparse_tools"})


@dataclass(frozen=True)
class KernelCall:
    """What a kernel is given: its instruction, its inputs in order, and the rank's weights and prepared objects."""

    run: Run
    inputs: Sequence[Tensor]
    loaded: LoadedRank

    def weight(self, index: int) -> NDArray[np.generic]:
        """The index-th of the tensors in the shard that the instruction names.

        Raises:
            ProgramError: if it names fewer, or one that the shard does not hold.
        """
        if index >= len(self.run.weights):
            raise ProgramError(f"{self.where}: expected more than {index} weights, got {list(self.run.weights)}")
        return self.loaded.weight(self.run.weights[index])

    def number(self, name: str, default: float | None = None) -> float | None:
        """A numeric attribute.

        Raises:
            ProgramError: if it is not a number.
        """
        value = self.run.attributes.get(name, default)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ProgramError(f"{self.where}: attribute {name!r}: expected a number, got {value!r}")
        return value

    def live(self, index: int = 0) -> LiveTensor:
        """The index-th input, which must be live.

        Raises:
            KernelError: if it is dense.
        """
        value = self.inputs[index]
        if not isinstance(value, LiveTensor):
            raise KernelError(f"{self.where}: expected a live tensor, got a dense one of shape {value.shape}")
        return value

    def dense(self, index: int = 0) -> NDArray[np.generic]:
        """The index-th input, which must be dense.

        Raises:
            KernelError: if it is live.
        """
        value = self.inputs[index]
        if isinstance(value, LiveTensor):
            raise KernelError(f"{self.where}: expected a dense tensor, got a live one")
        return value

    @property
    def where(self) -> str:
        """Step and kernel, for messages."""
        return f"step {self.run.step} {self.run.kernel}"


Kernel = Callable[[KernelCall], Sequence[Any]]

_KERNELS: dict[str, Kernel] = {}


def kernel(name: str) -> Callable[[Kernel], Kernel]:
    """Register the decorated function as the kernel of that name.

    Raises:
        ValueError: if there is one already.
    """

    def register(function: Kernel) -> Kernel:
        if name in _KERNELS:
            raise ValueError(f"kernel {name!r} is registered twice")
        _KERNELS[name] = function
        return function

    return register


def kernel_names() -> list[str]:
    """Every kernel there is, sorted, without importing them."""
    folder = str(Path(__file__).parent)
    return sorted(module.name for module in pkgutil.iter_modules([folder]) if module.name not in _NOT_KERNELS)


def find_kernel(name: str) -> Kernel:
    """The kernel of that name.

    Raises:
        ProgramError: if there is none.
    """
    if name not in _KERNELS:
        if name not in kernel_names():
            raise ProgramError(f"kernel: expected one of {kernel_names()}, got {name!r}")
        importlib.import_module(f"engine.kernels.{name}")
    return _KERNELS[name]
