"""What the compiler takes for granted of nodes: as many inputs as the op has, typed attributes, values made once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container

import onnx

from partition.errors import InvalidModelError
from partition.foreign import foreign_ops
from partition.tensor_checks import Graph, inner_graphs


def check_wellformed(proto: onnx.ModelProto) -> None:
    """Check every graph of a model whose opsets and names are checked.

    Raises:
        InvalidModelError: in one line.
    """
    versions = {_domain(opset.domain): opset.version for opset in proto.opset_import}
    own = {(_domain(function.domain), function.name) for function in proto.functions}
    for node in proto.graph.node:
        domain = _domain(node.domain)
        if (domain, node.op_type) not in own and onnx.defs.has(node.op_type, versions[domain], domain):
            _check_counts(node, onnx.defs.get_schema(node.op_type, versions[domain], domain))
    for name, count in Counter(node.name for node in proto.graph.node if node.name).items():
        if count > 1:
            raise InvalidModelError(f"node {name!r}: expected a name of its own, got {count} nodes of that name")
    for graph in inner_graphs([proto.graph, *proto.functions]):
        _check_graph(graph)
        for node in graph.node:
            _check_known(node, own)


def _check_known(node: onnx.NodeProto, own: Container[tuple[str, str]]) -> None:
    domain = _domain(node.domain)
    known = (
        (domain, node.op_type) in own or onnx.defs.has(node.op_type, domain) or (domain, node.op_type) in foreign_ops()
    )
    if not known:
        raise InvalidModelError(f"op {node.op_type!r}: expected one that onnxruntime has in {domain!r}, got none such")


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _check_counts(node: onnx.NodeProto, schema: onnx.defs.OpSchema) -> None:
    inputs, outputs = len(node.input), len(node.output)
    if not (schema.min_input <= inputs <= schema.max_input and schema.min_output <= outputs <= schema.max_output):
        wanted = f"{schema.min_input} to {schema.max_input} inputs, {schema.min_output} to {schema.max_output} outputs"
        raise InvalidModelError(f"op {node.op_type!r}: expected {wanted}, got {inputs} and {outputs}")


def _check_graph(graph: Graph) -> None:
    makers = Counter(name for node in graph.node for name in node.output if name)
    for name, count in makers.items():
        if count > 1:
            raise InvalidModelError(f"value {name!r}: expected one op that makes it, got several")
    if isinstance(graph, onnx.GraphProto):
        for name, count in Counter(info.name for info in graph.input).items():
            if count > 1:
                raise InvalidModelError(f"graph input {name!r}: expected it once, got it {count} times")
    if isinstance(graph, onnx.GraphProto) and not all(info.name for info in graph.output):
        raise InvalidModelError("graph output: expected a name, got none")
    for node in graph.node:
        if not all(attribute.name and attribute.type for attribute in node.attribute):
            raise InvalidModelError(f"op {node.op_type!r}: expected attributes with a name and a type, got one without")
