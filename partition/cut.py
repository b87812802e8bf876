"""ONNX nodes with which a rank cuts its own piece from a whole tensor, dividing as engine.split.split_bounds does."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from partition.placement import Shard
from partition.rules.facts import Dim

_SLICE_BY_INPUTS = 10


def cut_nodes(
    source: str, target: str, cut: Shard, size: Dim, rank: int, workers: int, opset: int
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Nodes and small constants that make `target` from `source`; a size known only to the request is measured."""
    if not isinstance(size, int):
        return _measured(source, target, cut, rank, workers)
    axis, (low, high) = cut.axis, cut.bounds(size, workers)[rank]
    if opset < _SLICE_BY_INPUTS:
        return [helper.make_node("Slice", [source], [target], axes=[axis], starts=[low], ends=[high])], []
    bounds = _constants(target, low=low, high=high, axis=axis)
    return [helper.make_node("Slice", [source, *(c.name for c in bounds)], [target])], bounds


def _measured(
    source: str, target: str, cut: Shard, rank: int, workers: int
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """start = base * rank + min(rank, extra) with base, extra = divmod(units, workers); the end is the next start."""
    constants = _constants(target, axis=cut.axis, workers=workers, rank=rank, next=rank + 1, unit=cut.unit)
    at, parts, low, high, unit = (c.name for c in constants)
    t = target
    nodes = [
        helper.make_node("Shape", [source], [f"{t}.shape"]),
        helper.make_node("Gather", [f"{t}.shape", at], [f"{t}.size"]),
        helper.make_node("Div", [f"{t}.size", unit], [f"{t}.units"]),
        helper.make_node("Div", [f"{t}.units", parts], [f"{t}.base"]),
        helper.make_node("Mod", [f"{t}.units", parts], [f"{t}.extra"]),
    ]
    for bound, number in (("start", low), ("end", high)):
        nodes += [
            helper.make_node("Mul", [f"{t}.base", number], [f"{t}.{bound}0"]),
            helper.make_node("Less", [number, f"{t}.extra"], [f"{t}.{bound}1"]),
            helper.make_node("Where", [f"{t}.{bound}1", number, f"{t}.extra"], [f"{t}.{bound}2"]),
            helper.make_node("Add", [f"{t}.{bound}0", f"{t}.{bound}2"], [f"{t}.{bound}3"]),
            helper.make_node("Mul", [f"{t}.{bound}3", unit], [f"{t}.{bound}"]),
        ]
    return [*nodes, helper.make_node("Slice", [source, f"{t}.start", f"{t}.end", at], [target])], constants


def _constants(prefix: str, **values: int) -> list[onnx.TensorProto]:
    return [numpy_helper.from_array(np.array([value], np.int64), f"{prefix}.{name}") for name, value in values.items()]
