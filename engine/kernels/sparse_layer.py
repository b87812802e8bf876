"""Kernel "sparse_layer": one sparse layer with its tail, on live samples."""

from __future__ import annotations

from channels.tensors import LiveTensor
from engine.kernels.registry import KernelCall, kernel
from engine.kernels.sparse_tools import all_or_live, prepared_layer, tail_of
from engine.tensor_ops import keep_samples


@kernel("sparse_layer")
def sparse_layer(call: KernelCall) -> list[LiveTensor]:
    """y = clip(W @ x + bias, clip_min, clip_max), without samples that are all zero.

    inputs:     x, live, [cols, live].
    weights:    indptr [rows + 1] int32, indices [nnz] uint16 or int32, values [nnz], or [1] for all entries, optionally
                bias [rows], and where attribute merged is true copies [cols] int32: how many equal features each
                feature stands for.
    attributes: bias (number, instead of the weight), clip_min, clip_max (numbers; absent = unbounded),
                zero_preserving (bool: the compiler knows that an all-zero sample stays all zero: finite weights, and
                bias <= 0 before a lower clip at 0, or no bias; otherwise dead samples are computed, too).
    outputs:    y, live, [rows, live].
    """
    layer, x = prepared_layer(call), all_or_live(call, call.live())
    values, alive = layer(x.values, tail_of(call, layer.rows, bias_weight=3))
    return [keep_samples(LiveTensor(values, x.samples, x.total), alive)]
