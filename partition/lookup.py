"""A look-up in a rank's rows of a table: what the rank does not have is 0, so that the ranks' results add up."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from bundle.dtypes import numpy_dtype
from partition.graph import Graph, Op
from partition.placement import Shard

# onnxruntime 1.31 has Where for these (float16 by way of float32); sums of the others would be no use.
LOOKED_UP = frozenset({"float16", "float32", "float64", "int32", "int64"})
Nodes = tuple[list[onnx.NodeProto], list[onnx.TensorProto]]


def lookup_nodes(graph: Graph, op: Op, names: tuple[str, str, str], cut: Shard, rank: int, workers: int) -> Nodes:
    """Gather on axis 0 with places that count the rows of the whole table; negative ones count from its end.

    names: of the rank's rows [v, ...], of the places, and of the result.
    """
    table, places, target = names
    rows, info, shape = graph.values[op.inputs[0]], graph.values[op.inputs[1]], graph.values[op.inputs[0]].shape or ()
    size, axes = shape[0], range(len(info.shape or ()), len(info.shape or ()) + len(shape) - 1)
    assert isinstance(size, int)
    low, high = cut.bounds(size, workers)[rank]
    numbers = {"size": size, "low": low, "length": high - low, "zero": 0}
    constants = [_constant(target, name, np.array(n, numpy_dtype(info.dtype))) for name, n in numbers.items()]
    constants += [_constant(target, "nothing", np.zeros((), numpy_dtype(rows.dtype)))]
    constants += [_constant(target, "axes", np.array(axes, np.int64))]
    t = target
    steps = [
        ("Less", [places, f"{t}.zero"], f"{t}.is_negative"),
        ("Add", [places, f"{t}.size"], f"{t}.from_end"),
        ("Where", [f"{t}.is_negative", f"{t}.from_end", places], f"{t}.place"),
        ("Sub", [f"{t}.place", f"{t}.low"], f"{t}.row"),
        ("Less", [f"{t}.row", f"{t}.zero"], f"{t}.is_before"),
        ("Not", [f"{t}.is_before"], f"{t}.is_after"),
        ("Less", [f"{t}.row", f"{t}.length"], f"{t}.is_below"),
        ("And", [f"{t}.is_after", f"{t}.is_below"], f"{t}.is_own"),
        ("Where", [f"{t}.is_own", f"{t}.row", f"{t}.zero"], f"{t}.own_row"),
        ("Gather", [table, f"{t}.own_row"], f"{t}.found"),
        ("Unsqueeze", [f"{t}.is_own", f"{t}.axes"], f"{t}.mask"),
        ("Where", [f"{t}.mask", f"{t}.found", f"{t}.nothing"], t),
    ]
    return [helper.make_node(kind, inputs, [output]) for kind, inputs, output in steps], constants


def _constant(prefix: str, name: str, value: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> onnx.TensorProto:
    return numpy_helper.from_array(value, f"{prefix}.{name}")
