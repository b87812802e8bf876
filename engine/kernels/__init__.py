"""Kernels: what an instruction `Run` computes. One per file, named after it, imported at its first use.

A kernel is a function of a `KernelCall` that returns one value per output. It must not change its inputs.
"""

from __future__ import annotations

from engine.kernels.registry import Kernel, KernelCall, find_kernel, kernel, kernel_names

__all__ = ["Kernel", "KernelCall", "find_kernel", "kernel", "kernel_names"]
