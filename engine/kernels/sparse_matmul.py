"""Kernel "sparse_matmul": the partial product of a rank that owns some of the inputs of a layer."""

from __future__ import annotations

from channels.tensors import LiveTensor
from engine.kernels.registry import KernelCall, kernel
from engine.kernels.sparse_tools import prepared_layer
from engine.sparse_layer import Tail


@kernel("sparse_matmul")
def sparse_matmul(call: KernelCall) -> list[LiveTensor]:
    """y = W @ x over the live samples; a sample that is dead in x is zero in y, so it stays left out.

    inputs:     x, live, [cols, live].
    weights:    indptr, indices and values, and copies, as of sparse_layer.
    attributes: merged.
    outputs:    y, live, [rows, live].
    """
    x = call.live()
    values, _ = prepared_layer(call)(x.values, Tail())
    return [LiveTensor(values, x.samples, x.total)]
