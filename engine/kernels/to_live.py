"""Kernel "to_live": from a dense activation to a live one."""

from __future__ import annotations

from channels.tensors import LiveTensor
from engine.errors import KernelError
from engine.kernels.registry import KernelCall, kernel
from engine.tensor_ops import to_live


@kernel("to_live")
def run_to_live(call: KernelCall) -> list[LiveTensor]:
    """Drop the samples that are all zero, and lay the others out by feature.

    inputs:  x, dense, [samples, features].
    outputs: y, live, [features, live].
    """
    x = call.dense()
    if x.ndim != 2:
        raise KernelError(f"{call.where}: expected [samples, features], got shape {x.shape}")
    return [to_live(x)]
