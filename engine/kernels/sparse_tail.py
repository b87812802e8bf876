"""Kernel "sparse_tail": bias and clip after the partial sums of a sparse layer were reduced."""

from __future__ import annotations

from channels.tensors import LiveTensor
from engine.kernels.registry import KernelCall, kernel
from engine.kernels.sparse_tools import all_or_live, tail_of
from engine.tensor_ops import drop_dead


@kernel("sparse_tail")
def sparse_tail(call: KernelCall) -> list[LiveTensor]:
    """y = clip(x + bias, clip_min, clip_max), without samples that are all zero.

    inputs:     x, live, [features, live].
    weights:    optionally bias [features].
    attributes: as those of "sparse_layer".
    outputs:    y, live, [features, live].
    """
    x = all_or_live(call, call.live())
    values = x.values.copy()
    tail_of(call, values.shape[0], bias_weight=0).apply(values)
    return [drop_dead(LiveTensor(values, x.samples, x.total))]
