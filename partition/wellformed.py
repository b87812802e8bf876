"""What the compiler looks up is there: values under names that are text, and as many inputs as an op has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Set

import onnx

from partition.errors import InvalidModelError


def check_names(graph: onnx.GraphProto, outer: Set[str] = frozenset()) -> None:
    """Check a graph and those inside of its nodes.

    outer: names that are known around it.

    Raises:
        InvalidModelError: a name that nobody gives, that two give, or that is no UTF-8.
    """
    given = list(_given(graph))
    _check_text(given)
    made = [name for node in graph.node for name in node.output if name]
    _check_text([*made, *(node.op_type for node in graph.node)])
    twice = [name for name, count in Counter(made).items() if count > 1]
    if twice:
        raise InvalidModelError(f"value {_shown(twice[0])}: expected one op that makes it, got several")
    known = outer | set(given) | set(made)
    for node in graph.node:
        _check_known(f"op {_shown(node.op_type)}", filter(None, node.input), known)
        _check_attributes(node)
        for inner in _inner(node):
            check_names(inner, known)
    _check_known("graph output", [output.name for output in graph.output], known)


def check_arity(proto: onnx.ModelProto) -> None:
    """Check that every op of ONNX itself has as many inputs and outputs as its schema says.

    Raises:
        InvalidModelError: one has too few or too many.
    """
    versions = {"" if opset.domain == "ai.onnx" else opset.domain: opset.version for opset in proto.opset_import}
    own = {(function.domain, function.name) for function in proto.functions}
    for node in proto.graph.node:
        domain = "" if node.domain == "ai.onnx" else node.domain
        if (domain, node.op_type) not in own and onnx.defs.has(node.op_type, versions[domain], domain):
            _check_counts(node, onnx.defs.get_schema(node.op_type, versions[domain], domain))


def _check_counts(node: onnx.NodeProto, schema: onnx.defs.OpSchema) -> None:
    inputs, outputs = len(node.input), len(node.output)
    if not (schema.min_input <= inputs <= schema.max_input and schema.min_output <= outputs <= schema.max_output):
        wanted = f"{schema.min_input} to {schema.max_input} inputs, {schema.min_output} to {schema.max_output} outputs"
        raise InvalidModelError(f"op {node.op_type!r}: expected {wanted}, got {inputs} and {outputs}")


def _given(graph: onnx.GraphProto) -> Iterator[str]:
    yield from (value.name for value in graph.input)
    yield from (tensor.name for tensor in graph.initializer)
    yield from (sparse.values.name for sparse in graph.sparse_initializer)


def _inner(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        yield from attribute.graphs
        if attribute.HasField("g"):
            yield attribute.g


def _check_text(names: Iterable[object]) -> None:
    """Protobuf hands out what is no UTF-8 as bytes."""
    for name in names:
        if not isinstance(name, str) or not name:
            raise InvalidModelError(f"value {_shown(name)}: expected a name in UTF-8")


def _check_known(where: str, names: Iterable[object], known: Set[str]) -> None:
    for name in names:
        if name not in known:
            raise InvalidModelError(f"{where}: expected a value that is made in the graph, got {_shown(name)}")


def _check_attributes(node: onnx.NodeProto) -> None:
    for attribute in node.attribute:
        if not isinstance(attribute.name, str) or not attribute.name or not attribute.type:
            raise InvalidModelError(
                f"op {_shown(node.op_type)}: expected attributes with a name and a type, got one without"
            )


def _shown(name: object) -> str:
    return repr(name)[:100]
