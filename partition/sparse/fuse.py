"""Find chains of sparse layers, MatMul [+ Add] [+ Clip | Relu], and make each one op of the compiler's own domain.

Only whole patterns are taken: a value inside of a chain that anybody else reads ends the chain there. Sparse weights
that are left over are made dense where they are read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import helper

from partition.graph import Graph, Op, make_op
from partition.rules.sparse import CHAIN, DOMAIN
from partition.sparse.layers import SparseLayer
from partition.sparse.weights import SparseWeight, from_dense

_DTYPES = ("float32", "float64")
_BLOCK_ROWS_BYTES = 64 << 20


@dataclass(frozen=True)
class Sparsity:
    """When a dense weight is worth keeping sparse: at most `density` non-zeros, and at least `elements` elements."""

    density: float = 0.1
    elements: int = 4096


@dataclass(frozen=True, eq=False)
class _Match:
    """A layer found in the graph: its ops, its input and output value."""

    ops: tuple[Op, ...]
    layer: SparseLayer
    source: str
    target: str


def fuse_sparse(graph: Graph, sparsity: Sparsity) -> tuple[Graph, Mapping[Op, tuple[SparseLayer, ...]]]:
    """The graph with one op per chain of sparse layers, and the layers of each such op."""
    readers = _readers(graph)
    matches = [m for op in graph.ops if (m := _match(graph, op, readers, sparsity))]
    chains = list(_chains(graph, matches, readers))
    fused = {id(op): chain for chain in chains for match in chain for op in match.ops}
    last = {id(chain[-1].ops[-1]): chain for chain in chains}
    layers: dict[Op, tuple[SparseLayer, ...]] = {}
    ops: list[Op] = []
    for op in graph.ops:
        if id(op) in last:
            ops.append(_chain_op(last[id(op)]))
            layers[ops[-1]] = tuple(match.layer for match in last[id(op)])
        elif id(op) not in fused:
            ops.append(op)
    return _without_leftovers(replace(graph, ops=tuple(ops))), layers


def _readers(graph: Graph) -> dict[str, list[Op]]:
    readers: dict[str, list[Op]] = {}
    for op in graph.ops:
        for name in op.reads:
            readers.setdefault(name, []).append(op)
    return readers


def _match(graph: Graph, op: Op, readers: Mapping[str, list[Op]], sparsity: Sparsity) -> _Match | None:
    weight = _sparse_weight(graph, op, sparsity)
    if weight is None:
        return None
    layer, ops, target = SparseLayer(op.outputs[0], weight), [op], op.outputs[0]
    for absorb in (_absorb_bias, _absorb_bounds):
        follower = _only_reader(graph, target, readers)
        if follower is not None and (grown := absorb(graph, layer, follower, target)):
            layer, target = replace(grown, name=follower.outputs[0]), follower.outputs[0]
            ops.append(follower)
    return _Match(tuple(ops), layer, op.inputs[0], target)


def _only_reader(graph: Graph, name: str, readers: Mapping[str, list[Op]]) -> Op | None:
    found = readers.get(name, [])
    alone = len(found) == 1 and name not in graph.outputs and name not in found[0].captured
    return found[0] if alone and found[0].proto.domain in ("", "ai.onnx") else None


def _sparse_weight(graph: Graph, op: Op, sparsity: Sparsity) -> SparseWeight | None:
    """The weight of a MatMul of a [m, k] value with a sparse [k, n] one."""
    if op.proto.op_type != "MatMul" or op.proto.domain not in ("", "ai.onnx"):
        return None
    value, weight = (graph.values[name] for name in op.inputs)
    if value.dtype not in _DTYPES or len(value.shape or ()) != 2 or op.inputs[0] in graph.constant_names:
        return None
    found = graph.sparse.get(op.inputs[1]) or _from_dense(graph, op.inputs[1], sparsity)
    usable = found is not None and found.values.dtype == value.dtype == weight.dtype
    return found if found is not None and usable and np.isfinite(found.values).all() else None


def _from_dense(graph: Graph, name: str, sparsity: Sparsity) -> SparseWeight | None:
    tensor = graph.weights.get(name)
    if tensor is None or len(tensor.shape) != 2 or tensor.size < sparsity.elements:
        return None
    matrix = tensor.numpy()
    if _non_zeros(matrix, int(sparsity.density * matrix.size)) > sparsity.density * matrix.size:
        return None
    return from_dense(matrix)


def _non_zeros(matrix: NDArray[Any], enough: int) -> int:
    """Non-zeros, counted block by block until there are more than `enough`."""
    rows = max(1, _BLOCK_ROWS_BYTES // max(1, matrix[:1].nbytes))
    count = 0
    for start in range(0, matrix.shape[0], rows):
        count += int(np.count_nonzero(matrix[start : start + rows]))
        if count > enough:
            break
    return count


def _absorb_bias(graph: Graph, layer: SparseLayer, op: Op, value: str) -> SparseLayer | None:
    if op.proto.op_type != "Add" or op.inputs.count(value) != 1 or op.attributes.get("broadcast"):
        return None
    other = op.inputs[1 - op.inputs.index(value)]
    tensor = graph.weights.get(other)
    if tensor is None or tuple(tensor.shape.numpy()) not in ((layer.weight.shape[1],), (1, layer.weight.shape[1])):
        return None
    return replace(layer, bias=np.array(tensor.numpy()).reshape(-1))


def _absorb_bounds(graph: Graph, layer: SparseLayer, op: Op, value: str) -> SparseLayer | None:
    if op.proto.op_type == "Relu":
        return replace(layer, low=0.0)
    if op.proto.op_type != "Clip" or op.inputs[0] != value:
        return None
    low, high = (_bound(graph, op, i, name) for i, name in ((1, "min"), (2, "max")))
    if low is None or high is None:
        return None
    return replace(layer, low=low, high=high)


def _bound(graph: Graph, op: Op, position: int, attribute: str) -> float | None:
    """A bound of Clip: infinite if it has none, None if it is not known."""
    infinite = -math.inf if attribute == "min" else math.inf
    if position >= len(op.inputs) or not op.inputs[position]:
        return float(op.attributes.get(attribute, infinite))
    tensor = graph.weights.get(op.inputs[position])
    return None if tensor is None or tensor.size != 1 else float(tensor.numpy().item())


def _chains(graph: Graph, matches: list[_Match], readers: Mapping[str, list[Op]]) -> Iterator[tuple[_Match, ...]]:
    """Matches joined where one's output is read by the next one's MatMul alone."""
    heads = {id(match.ops[0]): match for match in matches}
    following: dict[int, _Match] = {}
    for match in matches:
        reader = _only_reader(graph, match.target, readers)
        successor = heads.get(id(reader))
        if successor is not None and successor.source == match.target:
            following[id(match)] = successor
    inner = {id(match) for match in following.values()}
    for match in matches:
        if id(match) not in inner:
            chain = [match]
            while id(chain[-1]) in following:
                chain.append(following[id(chain[-1])])
            yield tuple(chain)


def _chain_op(chain: tuple[_Match, ...]) -> Op:
    name = f"{chain[0].target}..{chain[-1].target}" if len(chain) > 1 else chain[0].target
    return make_op(helper.make_node(CHAIN, [chain[0].source], [chain[-1].target], name=name, domain=DOMAIN))


def _without_leftovers(graph: Graph) -> Graph:
    """Weights that are still read, sparse ones among them as lazily made dense ones."""
    read = {name for op in graph.ops for name in op.reads} | set(graph.outputs)
    weights = {name: tensor for name, tensor in graph.weights.items() if name in read}
    weights |= {name: _lazily_dense(name, w) for name, w in graph.sparse.items() if name in read}
    return replace(graph, weights=weights, sparse={})


def _lazily_dense(name: str, weight: SparseWeight) -> ir.TensorProtocol:
    dtype = ir.DataType.from_numpy(weight.values.dtype)
    return ir.LazyTensor(lambda: ir.tensor(weight.dense()), dtype=dtype, shape=ir.Shape(weight.shape), name=name)
