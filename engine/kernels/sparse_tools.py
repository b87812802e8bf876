"""What the sparse kernels share: the prepared matrix, and the tail of bias, clip and dropping dead samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from channels.tensors import LiveTensor
from engine.errors import KernelError
from engine.jagged import Jagged, jagged_from_csr, multiply
from engine.kernels.registry import KernelCall
from engine.tensor_ops import complete, drop_dead

_CSR_WEIGHTS = 3  # indptr, indices, values


def product(call: KernelCall) -> LiveTensor:
    """W @ x over the live samples; W is CSR in the call's first three weights."""
    x = call.live()
    names = call.run.weights[:_CSR_WEIGHTS]
    matrix: Jagged = call.loaded.prepared(("jagged", *names), lambda: _matrix(call))
    return LiveTensor(multiply(matrix, x.values), x.samples, x.total)


def _matrix(call: KernelCall) -> Jagged:
    return jagged_from_csr(call.weight(0), call.weight(1), call.weight(2))  # type: ignore[arg-type]


def zero_preserving(call: KernelCall) -> bool:
    """Whether a sample that is all zero is known to stay so."""
    return call.run.attributes.get("zero_preserving", False) is True


def tail(call: KernelCall, x: LiveTensor, bias_weight: int) -> LiveTensor:
    """clip(x + bias, clip_min, clip_max), without the samples that are all zero then; changes x.values in place.

    bias_weight: index of the bias [features] among the weights; where there are not so many, attribute "bias" (a
    number) is added, if there is one.
    """
    if len(call.run.weights) > bias_weight:
        _add_bias(call, x.values, call.weight(bias_weight))
    elif scalar := call.number("bias"):
        np.add(x.values, x.values.dtype.type(scalar), out=x.values)
    for bound, limit in (("clip_min", np.maximum), ("clip_max", np.minimum)):
        if (value := call.number(bound)) is not None:
            limit(x.values, x.values.dtype.type(value), out=x.values)
    return drop_dead(x)


def _add_bias(call: KernelCall, values: NDArray[np.generic], bias: NDArray[np.generic]) -> None:
    if bias.shape != (values.shape[0],):
        raise KernelError(f"{call.where}: expected a bias of shape ({values.shape[0]},), got {bias.shape}")
    np.add(values, bias[:, None].astype(values.dtype, copy=False), out=values)


def all_or_live(call: KernelCall, x: LiveTensor) -> LiveTensor:
    """x as the layer needs it: with every sample, unless dead ones are known to stay dead."""
    return x if zero_preserving(call) else complete(x)
