"""The sizes that values are expected to have: what bytes are estimated from, and exact where the request's are known.

A plan must hold for every size that a request may choose, so rules never see these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from partition.arithmetic import integers
from partition.graph import NOMINAL_SIZE, Graph, ValueInfo
from partition.rules.facts import Dim, Shape

Shapes = Mapping[str, tuple[int, ...]]
_SMALL_BYTES = 8192


def with_sizes(graph: Graph, sizes: Mapping[str, int], shapes: Shapes) -> Graph:
    """The graph, its values with the sizes to expect.

    sizes:  of dimensions that the request chooses, by symbol; the others are expected as before.
    shapes: of inputs, by name; they go before `sizes`.
    """
    inputs = {name: _input_shape(graph.values[name], sizes, shapes.get(name)) for name in graph.inputs}
    known = {**sizes, **dict(_symbols(graph, inputs))}
    of_shape = cache(partial(_bound, known))  # many values have one shape
    bound = {name: found for name, value in graph.values.items() if (found := of_shape(value.shape)) is not None}
    shaped = _followed(graph, {**bound, **inputs})
    return replace(graph, values={name: value.expecting(shaped.get(name)) for name, value in graph.values.items()})


def sized(graph: Graph, sizes: Mapping[str, int], shapes: Shapes) -> Graph:
    """As with_sizes; a graph that has sizes to expect is taken as it is where no others are given."""
    known = all(graph.values[name].expected is not None for name in graph.inputs)
    return graph if known and not sizes and not shapes else with_sizes(graph, sizes, shapes)


def _input_shape(value: ValueInfo, sizes: Mapping[str, int], given: tuple[int, ...] | None) -> tuple[int, ...]:
    shape = value.shape or ()
    if given is not None and len(given) == len(shape):
        return given
    before = value.cargo.dims
    return tuple(_size(dim, sizes, before[axis]) for axis, dim in enumerate(shape))


def _size(dim: Dim, sizes: Mapping[str, int], otherwise: int = NOMINAL_SIZE) -> int:
    return dim if isinstance(dim, int) else sizes.get(dim or "", otherwise)


def _symbols(graph: Graph, inputs: Shapes) -> Iterator[tuple[str, int]]:
    """The size that each symbol of an input's shape has."""
    for name, shape in inputs.items():
        pairs = zip(graph.values[name].shape or (), shape, strict=True)
        yield from ((dim, size) for dim, size in pairs if isinstance(dim, str))


def _bound(known: Mapping[str, int], shape: Shape | None) -> tuple[int, ...] | None:
    """The shape with its symbols replaced; None if some dimension is not known."""
    if shape is None or any(not isinstance(dim, int) and dim not in known for dim in shape):
        return None
    return tuple(_size(dim, known) for dim in shape)


def _followed(graph: Graph, given: Shapes) -> Shapes:
    """Complete shapes that follow from these: sizes give integers, which give more sizes, until there are no more."""
    shapes, known = given, {""}
    while shapes.keys() < graph.values.keys() and (found := integers(graph, shapes)).keys() != known:
        inferred = _inferred(graph, shapes, found)
        shapes = {**inferred, **{name: value.shape for name, value in found.items()}, **shapes}
        known = set(found)
    return shapes


def _inferred(graph: Graph, shapes: Shapes, known: Mapping[str, NDArray[Any]]) -> dict[str, tuple[int, ...]]:
    """Complete shapes that ONNX infers from these; the nodes of `known` are taken for constants."""
    weights = [name for name in graph.weights if name not in shapes or graph.weights[name].nbytes <= _SMALL_BYTES]
    constants = [_constant(graph, name) for name in weights if graph.weights[name].nbytes <= _SMALL_BYTES]
    constants += [numpy_helper.from_array(value, name) for name, value in known.items()]
    held = {constant.name for constant in constants}
    infos = [_info(graph.values[name], name, shape) for name, shape in shapes.items() if name not in held]
    entries = {*graph.inputs, *graph.weights}
    proto = helper.make_graph(
        [op.proto for op in graph.ops if known.keys().isdisjoint(op.outputs)],
        "sizes",
        [info for info in infos if info.name in entries],
        [onnx.ValueInfoProto(name=name) for name in graph.outputs],
        constants,
        value_info=[info for info in infos if info.name not in entries and info.name not in graph.outputs],
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in graph.opsets.items()]
    model = helper.make_model(proto, opset_imports=opsets, ir_version=graph.ir_version)
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        return {}
    values = {info.name: info.type.tensor_type.shape for info in (*inferred.value_info, *inferred.output)}
    return {name: tuple(dim.dim_value for dim in shape.dim) for name, shape in values.items() if _is_complete(shape)}


def _is_complete(shape: onnx.TensorShapeProto) -> bool:
    return all(dim.HasField("dim_value") for dim in shape.dim) and len(shape.dim) > 0


def _constant(graph: Graph, name: str) -> onnx.TensorProto:
    tensor = graph.weights[name]
    if int(tensor.dtype) == onnx.TensorProto.STRING:
        return helper.make_tensor(name, onnx.TensorProto.STRING, tuple(tensor.shape.numpy()), tensor.numpy().ravel())
    dims = tuple(int(dim) for dim in tensor.shape.numpy())
    return onnx.TensorProto(name=name, data_type=int(tensor.dtype), dims=dims, raw_data=tensor.tobytes())


def _info(value: ValueInfo, name: str, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
    info = onnx.ValueInfoProto(name=name)
    if value.type is not None:
        info.type.CopyFrom(value.type)
        if info.type.HasField("tensor_type"):
            info.type.tensor_type.shape.CopyFrom(helper.make_tensor_type_proto(1, shape).tensor_type.shape)
    return info
