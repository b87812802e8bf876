"""What the sparse kernels share: the prepared matrix, and the tail of bias, clip and dropping dead samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from channels.tensors import LiveTensor
from engine.cores import usable_cores
from engine.csr import csr
from engine.errors import KernelError
from engine.kernels.registry import KernelCall
from engine.native import native_library
from engine.program import Run
from engine.sparse_layer import SparseLayer, Tail
from engine.tensor_ops import complete

_CSR_WEIGHTS = 3  # indptr, indices, values


def prepared_layer(call: KernelCall) -> SparseLayer:
    """The matrix in CSR that the call's first three weights are."""
    names = call.run.weights[:_CSR_WEIGHTS]
    layer: SparseLayer = call.loaded.prepared(("sparse", *names), lambda: _layer(call))
    return layer


def _layer(call: KernelCall) -> SparseLayer:
    matrix = csr(call.weight(0), call.weight(1), call.weight(2))
    return SparseLayer(matrix, native_library(), _copies(call) if _is_merged(call) else None, usable_cores())


def _is_merged(call: KernelCall) -> bool:
    """Whether features of the input stand for several equal ones: then the last weight says for how many."""
    return call.run.attributes.get("merged", False) is True


def _copies(call: KernelCall) -> NDArray[np.int32]:
    """How many features each feature of the input stands for.

    Raises:
        KernelError: if that is not what the last weight is.
    """
    copies, features = call.weight(len(call.run.weights) - 1), call.live().values.shape[0]
    if copies.shape != (features,) or copies.dtype != np.int32:
        raise KernelError(
            f"{call.where}: expected int32 copies of {features} features, got {copies.dtype} {copies.shape}"
        )
    return copies.astype(np.int32, copy=False)


def tail_of(call: KernelCall, rows: int, bias_weight: int) -> Tail:
    """Bias and bounds of the call for an output of so many rows.

    bias_weight: index of the bias [rows] among the weights; where there are not so many, attribute "bias" (a number) is
    added, if there is one.

    Raises:
        KernelError: if the bias has another shape.
    """
    bias = None
    if len(call.run.weights) - _is_merged(call) > bias_weight:
        bias = call.weight(bias_weight)
        if bias.shape != (rows,):
            raise KernelError(f"{call.where}: expected a bias of shape ({rows},), got {bias.shape}")
    elif (scalar := call.number("bias")) is not None:
        bias = np.array([scalar])
    return Tail(bias, call.number("clip_min"), call.number("clip_max"))


def all_or_live(call: KernelCall, x: LiveTensor) -> LiveTensor:
    """x as the layer needs it: with every sample, unless dead ones are known to stay dead."""
    return x if is_zero_preserving(call.run) else complete(x)


def is_zero_preserving(run: Run) -> bool:
    """Whether the compiler knows that an all-zero sample stays all zero."""
    return run.attributes.get("zero_preserving", False) is True
