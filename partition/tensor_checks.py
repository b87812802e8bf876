"""What stored tensors must be: their values are there, and only there; nothing is allocated for what they claim."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import onnx
import onnx_ir as ir

from partition.errors import InvalidModelError, UnsafeModelError, UnsupportedModelError

Graph = onnx.GraphProto | onnx.FunctionProto

MAX_AXES = 64  # numpy's limit
MAX_SPARSE_SIDE = 1 << 20  # neurons; the compiler keeps some numbers of each, and divides them as a hypergraph
MAX_DENSIFIED = 1 << 26  # elements of a sparse tensor that is no matrix of the main graph, and so is made dense


def check_tensors(proto: onnx.ModelProto, base_dir: Path | None) -> None:
    """Hold every initializer and constant against its dims.

    Raises:
        InvalidModelError: if values are missing, or left over.
        UnsafeModelError: if they are in a file outside of `base_dir`.
        UnsupportedModelError: if there are too many axes, or zeros of a sparse tensor.
    """
    for tensor in _tensors(proto):
        _check_tensor(tensor, base_dir)
    kept = {tensor.values.name for tensor in proto.graph.sparse_initializer if len(tensor.dims) == 2}
    for graph in inner_graphs([proto.graph, *proto.functions]):
        for sparse in _sparse_tensors(graph):
            _check_sparse(sparse, sparse.values.name in kept)


def inner_graphs(graphs: Iterable[Graph]) -> Iterator[Graph]:
    """These graphs, and every graph inside of their nodes."""
    todo = list(graphs)
    while todo:
        graph = todo.pop()
        yield graph
        for attribute in (a for node in graph.node for a in node.attribute):
            todo += [attribute.g] if attribute.HasField("g") else []
            todo += list(attribute.graphs)


def _tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every initializer and stored constant."""
    for graph in inner_graphs([proto.graph, *proto.functions]):
        yield from graph.initializer if isinstance(graph, onnx.GraphProto) else ()
        for attribute in (a for node in graph.node for a in node.attribute):
            yield from (*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors)
        for sparse in _sparse_tensors(graph):
            yield from (sparse.values, sparse.indices)


def _sparse_tensors(graph: Graph) -> Iterator[onnx.SparseTensorProto]:
    yield from graph.sparse_initializer if isinstance(graph, onnx.GraphProto) else ()
    for attribute in (a for node in graph.node for a in node.attribute):
        yield from (
            *([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []),
            *attribute.sparse_tensors,
        )


def _check_dims(name: str, dims: Sequence[int]) -> None:
    if any(dim < 0 for dim in dims):
        raise InvalidModelError(f"initializer {name!r}: expected dims >= 0, got {list(dims)}")
    if len(dims) > MAX_AXES:
        raise UnsupportedModelError(f"initializer {name!r}: expected at most {MAX_AXES} axes, got {len(dims)}")


def _check_sparse(sparse: onnx.SparseTensorProto, kept: bool) -> None:
    """Only matrices of the main graph are kept sparse; of all others the zeros are written out."""
    name, dims = sparse.values.name, list(sparse.dims)
    _check_dims(name, dims)
    if max(dims, default=0) > MAX_SPARSE_SIDE or (not kept and math.prod(dims) > MAX_DENSIFIED):
        raise UnsupportedModelError(
            f"sparse tensor {name!r}: expected sides <= {MAX_SPARSE_SIDE}, and <= {MAX_DENSIFIED} elements "
            f"unless it is a matrix of the main graph, got {dims}"
        )


def _check_tensor(tensor: onnx.TensorProto, base_dir: Path | None) -> None:
    _check_dims(tensor.name, tensor.dims)
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        _check_location(tensor.name, location(tensor), base_dir)
    else:
        _check_values(tensor, _element_type(tensor))


def _element_type(tensor: onnx.TensorProto) -> ir.DataType:
    known = tensor.data_type in set(ir.DataType) and tensor.data_type != onnx.TensorProto.UNDEFINED
    if not known:
        raise InvalidModelError(
            f"initializer {tensor.name!r}: expected an element type of ONNX, got {tensor.data_type}"
        )
    return ir.DataType(tensor.data_type)


def _check_values(tensor: onnx.TensorProto, kind: ir.DataType) -> None:
    """A tensor that claims a size must bring its values: nothing is allocated for a claim."""
    wanted, got = math.prod(tensor.dims), _brought(tensor, kind)
    packed = 1 if kind == ir.DataType.STRING else max(1, 8 // kind.bitwidth)
    if not wanted <= got < wanted + packed:
        raise InvalidModelError(
            f"initializer {tensor.name!r}: expected {wanted} elements for dims {list(tensor.dims)}, got {got:g}"
        )


def _brought(tensor: onnx.TensorProto, kind: ir.DataType) -> float:
    """Elements that the file holds for a tensor."""
    if kind == ir.DataType.STRING:
        return len(tensor.string_data)
    if tensor.HasField("raw_data"):
        return len(tensor.raw_data) * 8 / kind.bitwidth
    fields = (tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data, tensor.uint64_data)
    pairs = 2 if kind in (ir.DataType.COMPLEX64, ir.DataType.COMPLEX128) else 1
    return sum(map(len, fields)) * max(1, 8 // kind.bitwidth) / pairs


def _check_location(name: str, location: str, base_dir: Path | None) -> None:
    """External data must be a file inside of the model's folder, links resolved."""
    if base_dir is None:
        raise UnsafeModelError(f"initializer {name!r}: external data needs a model given by path, got one in memory")
    root = base_dir.resolve()
    if not location or "\0" in location or Path(location).is_absolute():
        raise UnsafeModelError(f"initializer {name!r}: expected external data in the model's folder, got {location!r}")
    try:
        target = (root / location).resolve()
        is_file = target.is_file()
    except (OSError, RuntimeError) as error:  # links that lead to each other, or a name that no file can have
        raise UnsafeModelError(f"initializer {name!r}: expected external data in a file, got {location!r}") from error
    if not target.is_relative_to(root):
        raise UnsafeModelError(f"initializer {name!r}: expected external data in the model's folder, got {location!r}")
    if not is_file:
        raise InvalidModelError(f"initializer {name!r}: expected its external data in {location!r}, got no such file")


def location(tensor: onnx.TensorProto) -> str:
    """Where a tensor's external data is, relative to the model's folder."""
    return next((entry.value for entry in tensor.external_data if entry.key == "location"), "")


def external_files(proto: onnx.ModelProto) -> list[str]:
    """Locations of all external data of a model."""
    external = (tensor for tensor in _tensors(proto) if tensor.data_location == onnx.TensorProto.EXTERNAL)
    return sorted({location(tensor) for tensor in external})
