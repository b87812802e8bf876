"""Gemm -> MatMul + Add, so that a bias is added once however the product is divided."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from partition.constants import add_constant
from partition.rewriting import RewriteOpsPass

_FLOATS = (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16)


class SplitGemmPass(RewriteOpsPass):
    """alpha * A' B' + beta * C as Transpose, MatMul, Mul and Add; a Gemm of other types stays whole."""

    ops = frozenset({"Gemm"})

    def matches(self, node: ir.Node) -> bool:
        """Whether it multiplies two matrices of floats."""
        a, b = node.inputs[:2]
        if a is None or b is None or a.dtype not in _FLOATS or b.dtype != a.dtype:
            return False
        legacy = "broadcast" in node.attributes  # opset < 7
        return not legacy and all(v.shape is not None and len(v.shape) == 2 for v in (a, b))

    def rewrite(self, graph: ir.Graph, node: ir.Node) -> None:
        """Put the steps in its place."""
        _split(graph, node)


def _split(graph: ir.Graph, node: ir.Node) -> None:
    build = _Builder(graph, node)
    a, b = node.inputs[0], node.inputs[1]
    c = node.inputs[2] if len(node.inputs) > 2 else None
    left = build.op("Transpose", a, perm=[1, 0]) if node.attributes.get_int("transA", 0) else a
    right = build.op("Transpose", b, perm=[1, 0]) if node.attributes.get_int("transB", 0) else b
    result = build.scaled(build.op("MatMul", left, right), node.attributes.get_float("alpha", 1.0))
    beta = node.attributes.get_float("beta", 1.0)
    if c is not None and beta != 0.0:
        result = build.op("Add", result, build.scaled(c, beta))
    build.finish(result)


class _Builder:
    """Inserts nodes before the one that they replace."""

    def __init__(self, graph: ir.Graph, node: ir.Node) -> None:
        self._graph, self._node, self._count = graph, node, 0

    def op(self, op_type: str, *inputs: ir.Value | None, **attributes: list[int]) -> ir.Value:
        self._count += 1
        base = f"{self._node.outputs[0].name}__{op_type.lower()}{self._count}"
        new = ir.node(op_type, list(inputs), attributes=attributes, name=base)
        new.outputs[0].name = base
        new.outputs[0].type = self._node.outputs[0].type or self._node.inputs[0].type  # type: ignore[union-attr]
        self._graph.insert_before(self._node, new)
        return new.outputs[0]

    def scaled(self, value: ir.Value, factor: float) -> ir.Value:
        if factor == 1.0:
            return value
        self._count += 1
        assert value.dtype is not None or self._node.inputs[0] is not None
        dtype = (value.dtype or self._node.inputs[0].dtype).numpy()  # type: ignore[union-attr]
        tensor = ir.tensor(np.asarray(factor, dtype), name=f"{self._node.outputs[0].name}__factor{self._count}")
        return self.op("Mul", value, add_constant(self._graph, tensor))

    def finish(self, result: ir.Value) -> None:
        old, producer = self._node.outputs[0], result.producer()
        name, result.shape, result.type = old.name, old.shape, old.type or result.type
        ir.convenience.replace_all_uses_with(old, result, replace_graph_outputs=True)
        self._graph.remove(self._node, safe=True)
        result.name = name
        assert producer is not None
