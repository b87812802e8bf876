"""What a file must be before any library may work on it: one typed error for what is damaged, hostile or too large."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import onnx

from partition.errors import InvalidModelError, UnsupportedModelError
from partition.graph import make_op
from partition.tensor_checks import Graph, check_tensors, inner_graphs
from partition.wellformed import check_wellformed

_DOMAINS = frozenset(
    [
        "",
        "ai.onnx",
        "ai.onnx.ml",
        "ai.onnx.preview",
        "ai.onnx.preview.training",
        "ai.onnx.training",
        "com.microsoft",
        "com.microsoft.experimental",
        "com.microsoft.nchwc",
        "com.ms.internal.nhwc",
        "org.pytorch.aten",
    ]
)
MAX_NODES = 50_000  # near a millisecond of compiling each, and one more for each search
MAX_WEIGHTS = 20_000  # each costs a third of a millisecond, whatever its size
MAX_SIGNATURE = 4_096  # each is looked at, fed or sent by name with every request
MAX_CALL_DEPTH = 64  # onnxruntime inlines functions by recursion, and dies of some thousand
# Attributes that count parts: onnxruntime 1.31 divides by some of them before it looks.
_COUNTS = frozenset({"blocksize", "group", "hidden_size", "kv_num_heads", "num_groups", "num_heads", "q_num_heads"})


def check_model(proto: onnx.ModelProto, base_dir: Path | None) -> None:
    """Check a model; sizes that are negative become unknown, as onnxruntime takes them.

    base_dir: the model's folder; None for a model in memory, which can have no external data.

    Raises:
        InvalidModelError: if it is damaged.
        UnsafeModelError: if it refers to files outside of its folder.
        UnsupportedModelError: if it has more than MAX_NODES nodes, functions inlined, or MAX_WEIGHTS initializers.
    """
    if not proto.ir_version or not proto.opset_import or not proto.graph.output:
        raise InvalidModelError(
            "model: expected ONNX with ir_version, opset_import and graph outputs, got a file without"
        )
    _check_count("initializers", len(proto.graph.initializer), MAX_WEIGHTS)
    _check_count("inputs without a value, and outputs", _signature_size(proto.graph), MAX_SIGNATURE)
    _check_opsets(proto)
    _check_count("nodes", _inlined_nodes(proto), MAX_NODES)
    for graph in (proto.graph, *proto.functions):
        for node in _nodes(graph):
            _check_node(node)
    _check_names(proto.graph)
    check_wellformed(proto)
    check_tensors(proto, base_dir)
    for info in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        for dim in info.type.tensor_type.shape.dim if info.type.HasField("tensor_type") else ():
            if dim.dim_value < 0:
                dim.ClearField("dim_value")


def _signature_size(graph: onnx.GraphProto) -> int:
    given = {tensor.name for tensor in graph.initializer}
    return sum(info.name not in given for info in graph.input) + len(graph.output)


def _check_count(what: str, got: int, most: int) -> None:
    if got > most:
        raise UnsupportedModelError(f"model: expected at most {most} {what}, got {got}")


def _inlined_nodes(proto: onnx.ModelProto) -> int:
    """Nodes once every call of a function is replaced by its body: 30 functions may stand for 2^30 nodes."""
    functions = {(function.domain, function.name): function for function in proto.functions}
    calls = {key: [(n.domain, n.op_type) for n in _nodes(function)] for key, function in functions.items()}
    inner = {key: functions.keys() & set(called) for key, called in calls.items()}
    sizes: dict[tuple[str, str], int] = {}
    depths: dict[tuple[str, str], int] = {}
    try:
        for key in TopologicalSorter(inner).static_order():
            sizes[key] = sum(sizes.get(callee, 1) for callee in calls[key])
            depths[key] = 1 + max((depths[callee] for callee in inner[key]), default=0)
    except CycleError as error:
        raise InvalidModelError("functions: expected no function that calls itself, got a cycle of calls") from error
    _check_count("functions inside of each other", max(depths.values(), default=0), MAX_CALL_DEPTH)
    return sum(sizes.get((node.domain, node.op_type), 1) for node in _nodes(proto.graph))


def _nodes(graph: Graph) -> Iterator[onnx.NodeProto]:
    """The nodes of a graph and of the graphs inside of them."""
    return (node for inner in inner_graphs([graph]) for node in inner.node)


def _check_node(node: onnx.NodeProto) -> None:
    texts = (node.name, node.op_type, node.domain, *node.input, *node.output, *(a.name for a in node.attribute))
    if not all(isinstance(text, str) for text in texts):  # protobuf gives the bytes of what is no UTF-8
        raise InvalidModelError(f"op {node.op_type!r}: expected names in UTF-8, got other bytes")
    for attribute in node.attribute:
        counts = attribute.name in _COUNTS and node.op_type != "RotaryEmbedding"  # whose 0 means: seen from the shape
        if counts and attribute.type == onnx.AttributeProto.INT and attribute.i < 1:
            raise InvalidModelError(f"op {node.op_type!r}: expected {attribute.name} >= 1, got {attribute.i}")


def _check_names(graph: onnx.GraphProto) -> None:
    """Every value that is read must be made somewhere."""
    made = {info.name for info in (*graph.input, *graph.initializer)}
    made.update(sparse.values.name for sparse in graph.sparse_initializer)
    made.update(name for node in graph.node for name in node.output)
    read = [name for node in graph.node for name in make_op(node).reads]
    for name in (*read, *(info.name for info in graph.output)):
        if name not in made:
            raise InvalidModelError(f"value {name!r}: expected an input, initializer or node that makes it, got none")


def _check_opsets(proto: onnx.ModelProto) -> None:
    newest = onnx.defs.onnx_opset_version()
    known = _DOMAINS | {function.domain for function in proto.functions}
    for opset in proto.opset_import:
        if opset.domain in ("", "ai.onnx") and not 1 <= opset.version <= newest:
            raise InvalidModelError(f"opset: expected 1 to {newest}, got {opset.version}")
    imported = {"" if opset.domain == "ai.onnx" else opset.domain for opset in proto.opset_import}
    for node in proto.graph.node:
        domain = "" if node.domain == "ai.onnx" else node.domain
        if domain not in known:
            raise InvalidModelError(f"op {node.op_type!r}: expected a domain of onnxruntime, got {node.domain!r}")
        if domain not in imported:
            raise InvalidModelError(
                f"op {node.op_type!r}: expected an opset_import for its domain {node.domain!r}, got none"
            )
