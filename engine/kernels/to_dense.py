"""Kernel "to_dense": from a live activation to a dense one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from channels.tensors import LiveTensor
from engine.errors import KernelError
from engine.kernels.registry import KernelCall, kernel
from engine.tensor_ops import to_dense


@kernel("to_dense")
def run_to_dense(call: KernelCall) -> list[NDArray[np.generic]]:
    """Lay a live activation out by sample, dead samples as zeros.

    inputs:  x, live, [features, live].
    weights: optionally expand [n] int32: the feature of x that each feature of y is.
    outputs: y, dense, [samples, features], or [samples, n].

    Raises:
        KernelError: if expand names features that x does not have.
    """
    x = call.live()
    return [to_dense(x if not call.run.weights else _expanded(call, x))]


def _expanded(call: KernelCall, x: LiveTensor) -> LiveTensor:
    expand, features = call.weight(0), x.values.shape[0]
    if expand.ndim != 1 or expand.dtype != np.int32 or expand.min(initial=0) < 0 or expand.max(initial=-1) >= features:
        raise KernelError(f"{call.where}: expected int32 features below {features}, got {expand.dtype} {expand.shape}")
    return LiveTensor(np.take(x.values, expand.astype(np.int32, copy=False), axis=0), x.samples, x.total)
