"""Kernel "to_live": from a dense activation to a live one."""

from __future__ import annotations

import numpy as np

from channels.tensors import LiveTensor
from engine.errors import KernelError
from engine.kernels.registry import KernelCall, kernel


@kernel("to_live")
def to_live(call: KernelCall) -> list[LiveTensor]:
    """Drop the samples that are all zero, and lay the others out by feature.

    inputs:  x, dense, [samples, features].
    outputs: y, live, [features, live].
    """
    x = call.dense()
    if x.ndim != 2:
        raise KernelError(f"{call.where}: expected [samples, features], got shape {x.shape}")
    samples = np.flatnonzero(x.any(axis=1)).astype(np.int32)
    return [LiveTensor(np.ascontiguousarray(x[samples].T), samples, x.shape[0])]
