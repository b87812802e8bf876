"""Constant folding: onnxruntime itself computes small constants, transposed weights are views of their storage."""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray

FOLD_LIMIT_BYTES = 16 << 20
# Ops whose output's size only the values tell, and which never give more than they get.
_NEVER_GROW = frozenset(["Compress", "NonZero", "Unique"])
RANDOM_OPS = frozenset(
    ["Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"]
)
_KEPT = RANDOM_OPS | {"Constant", "DequantizeLinear"}
_log = logging.getLogger(__name__)


class FoldConstantsPass(ir.passes.InPlacePass):
    """Replace nodes whose inputs are all known by initializers."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold in topological order, so that one walk suffices."""
        folded = [node for node in list(model.graph) if _fold(model, node)]
        return ir.passes.PassResult(model, modified=bool(folded))


def _fold(model: ir.Model, node: ir.Node) -> bool:
    tensors = _shape_of(node) or _transposed(node) or _computed(model, node)
    if tensors is None:
        return False
    for output, tensor in zip(list(node.outputs), tensors, strict=True):
        _replace(model.graph, output, tensor)
    model.graph.remove(node, safe=True)
    return True


def _shape_of(node: ir.Node) -> list[ir.TensorProtocol] | None:
    """The value of a Shape node over fixed dimensions."""
    if node.op_type != "Shape" or node.domain not in ("", "ai.onnx") or _leaves(node):
        return None
    source = node.inputs[0]
    if source is None or source.shape is None or not source.shape.is_static():
        return None
    dims = [int(dim) for dim in source.shape.numpy()]
    start, end = (node.attributes.get_int(name, default) for name, default in (("start", 0), ("end", len(dims))))
    return [ir.tensor(np.asarray(dims[start:end], np.int64))]


def _transposed(node: ir.Node) -> list[ir.TensorProtocol] | None:
    """A transposed matrix of any size, as a view: nothing is read."""
    if node.op_type != "Transpose" or node.domain not in ("", "ai.onnx") or _leaves(node):
        return None
    tensor = _constant(node.inputs[0])
    if tensor is None or tensor.dtype.bitwidth < 8 or tensor.dtype == ir.DataType.STRING:
        return None
    order = node.attributes.get_ints("perm", range(len(tensor.shape) - 1, -1, -1))
    return [ir.Tensor(tensor.numpy().transpose(tuple(order)), dtype=tensor.dtype)]


def _computed(model: ir.Model, node: ir.Node) -> list[ir.TensorProtocol] | None:
    """What onnxruntime computes from small constants; None if it cannot, or the result is large."""
    if node.op_type in _KEPT or not node.inputs or _leaves(node) or _holds_graphs(node):
        return None
    constants = [None if value is None else _constant(value) for value in node.inputs]
    if any(value is not None and c is None for value, c in zip(node.inputs, constants, strict=True)):
        return None
    if sum(c.nbytes for c in constants if c is not None) > FOLD_LIMIT_BYTES:
        return None
    return _run(model, node)


def _run(model: ir.Model, node: ir.Node) -> list[ir.TensorProtocol] | None:
    proto = ir.serde.serialize_node(node)
    names = {value.name: value for value in node.inputs if value is not None}
    initializers = [_named(value) for value in names.values()]
    graph = onnx.helper.make_graph(
        [proto], "fold", [], [onnx.ValueInfoProto(name=v.name) for v in node.outputs if v.name], initializers
    )
    opsets = [onnx.helper.make_opsetid(domain, version) for domain, version in model.opset_imports.items()]
    single = onnx.helper.make_model(
        graph, opset_imports=opsets, ir_version=min(max(model.ir_version, 4), onnx.IR_VERSION)
    )
    if not _is_small(single, node):
        return None
    try:
        session = ort.InferenceSession(single.SerializeToString(), _quiet(), providers=["CPUExecutionProvider"])
        results = session.run(None, {})
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors have no common root; the node simply stays
        _log.debug("not folded: %s: %s", node.name, error)
        return None
    arrays = [r for r in results if isinstance(r, np.ndarray)]
    return [_tensor(a) for a in arrays] if len(arrays) == len(node.outputs) else None


def _is_small(single: onnx.ModelProto, node: ir.Node) -> bool:
    """Whether the node's results are small, as is known before memory is asked for: ten bytes may say a terabyte."""
    if node.op_type in _NEVER_GROW:
        return True
    try:
        inferred = onnx.shape_inference.infer_shapes(single)
    except onnx.shape_inference.InferenceError:
        return False
    sizes = [_inferred_bytes(output.type.tensor_type) for output in inferred.graph.output]
    return all(size is not None for size in sizes) and sum(filter(None, sizes)) <= FOLD_LIMIT_BYTES


def _inferred_bytes(kind: onnx.TypeProto.Tensor) -> int | None:
    """Bytes of a tensor; None where its type or a size is unknown."""
    if not kind.elem_type or not kind.HasField("shape") or not all(dim.HasField("dim_value") for dim in kind.shape.dim):
        return None
    dtype = ir.DataType(kind.elem_type)
    item_bytes = 8 if dtype == ir.DataType.STRING else dtype.itemsize
    return math.ceil(item_bytes * math.prod(int(dim.dim_value) for dim in kind.shape.dim))


def _tensor(array: NDArray[Any]) -> ir.TensorProtocol:
    if array.dtype == object:
        return ir.StringTensor(np.asarray([str(x).encode() for x in array.ravel()], object).reshape(array.shape))
    return ir.tensor(array)


def _quiet() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return options


def _named(value: ir.Value) -> onnx.TensorProto:
    tensor = value.const_value
    assert tensor is not None
    if tensor.dtype == ir.DataType.STRING:
        proto = ir.serde.serialize_tensor(tensor)
    else:
        proto = onnx.TensorProto(
            data_type=int(tensor.dtype), dims=list(tensor.shape.numpy()), raw_data=tensor.tobytes()
        )
    proto.name = value.name or ""
    return proto


def _constant(value: ir.Value | None) -> ir.TensorProtocol | None:
    return value.const_value if value is not None and value.is_initializer() else None


def _holds_graphs(node: ir.Node) -> bool:
    return any(a.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for a in node.attributes.values())


def _leaves(node: ir.Node) -> bool:
    """Whether an output is one of the graph's: it must stay a node's."""
    return any(output.is_graph_output() for output in node.outputs)


def _replace(graph: ir.Graph, output: ir.Value, tensor: ir.TensorProtocol) -> None:
    named = ir.Value(
        name=output.name, shape=ir.Shape(tensor.shape.numpy()), type=ir.TensorType(tensor.dtype), const_value=tensor
    )
    if isinstance(tensor, ir.Tensor):
        tensor.name = output.name
    ir.convenience.replace_all_uses_with(output, named)
    output.name = f"{output.name}__folded"
    graph.register_initializer(named)
