"""Kernel "to_dense": from a live activation to a dense one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.kernels.registry import KernelCall, kernel
from engine.tensor_ops import to_dense


@kernel("to_dense")
def run_to_dense(call: KernelCall) -> list[NDArray[np.generic]]:
    """Lay a live activation out by sample, dead samples as zeros.

    inputs:  x, live, [features, live].
    outputs: y, dense, [samples, features].
    """
    return [to_dense(call.live())]
