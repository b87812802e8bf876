"""Front end: a proto or a path becomes an onnx-ir model with lazily read weights, or one typed error."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from partition.errors import CompileError, InvalidModelError, UnsafeModelError, UnsupportedModelError
from partition.sparse.weights import SparseWeight, take_sparse
from partition.wellformed import check_arity, check_names

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
_CHUNK = 1 << 20
MAX_NODES = 50_000  # the search takes minutes there, and grows faster than the graph


# element type -> bytes of one, where that is a whole number
_WHOLE_BYTES = {
    int(kind): kind.itemsize
    for kind in (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
} | {int(ir.DataType[f"{sign}INT{bits}"]): bits // 8 for sign in ("", "U") for bits in (8, 16, 32, 64)}


_ELEMENTS = {int(kind) for kind in ir.DataType} - {int(ir.DataType.UNDEFINED)}


@dataclass(frozen=True)
class Source:
    """A checked model.

    model:   the graph; weights are read when asked for, external ones are memory-mapped.
    sparse:  sparse weights by name; the graph has a typed input of the same name for each.
    maps:    types of the values that are or hold maps, by name: onnx-ir does not know such types.
    version: sha256 of the model's bytes (and of its external files).
    """

    model: ir.Model
    sparse: dict[str, SparseWeight]
    maps: dict[str, onnx.TypeProto]
    version: str


def load(model: onnx.ModelProto | Path | str) -> Source:
    """Read and check a model; a proto that is handed in is not changed.

    Raises:
        InvalidModelError: if it is no ONNX model that can run.
        UnsafeModelError: if it refers to files outside of its folder.
        UnsupportedModelError: if it has more than MAX_NODES nodes.
    """
    proto, base_dir, version = _read(model)
    _check(proto, base_dir)
    try:
        sparse, maps = take_sparse(proto, base_dir), _take_maps(proto)
        loaded = ir.serde.deserialize_model(proto)
        _resolve_external(loaded, base_dir)
        loaded.graph.sort()
    except CompileError:
        raise
    except (ValueError, TypeError, KeyError, OSError, RuntimeError, NotImplementedError) as error:
        raise InvalidModelError(f"model: expected a well-formed ONNX graph, got {error}") from error
    return Source(loaded, sparse, maps, version)


def _read(model: onnx.ModelProto | Path | str) -> tuple[onnx.ModelProto, Path | None, str]:
    if isinstance(model, onnx.ModelProto):
        data = model.SerializeToString(deterministic=True)
        return onnx.ModelProto.FromString(data), None, hashlib.sha256(data).hexdigest()
    path = Path(model)
    if not path.is_file():
        raise InvalidModelError(f"model {path.name!r}: expected an .onnx file, got none there")
    try:
        proto = onnx.ModelProto.FromString(path.read_bytes())
    except (DecodeError, ValueError) as error:
        raise InvalidModelError(f"model {path.name!r}: expected ONNX, got bytes that are no ONNX protobuf") from error
    return proto, path.parent, _version(path, _external_files(proto))


def _check(proto: onnx.ModelProto, base_dir: Path | None) -> None:
    """Raises: InvalidModelError, UnsafeModelError, UnsupportedModelError."""
    if not proto.ir_version or not proto.opset_import or not proto.graph.output:
        raise InvalidModelError(
            "model: expected ONNX with ir_version, opset_import and graph outputs, got a file without"
        )
    if len(proto.graph.node) > MAX_NODES:
        raise UnsupportedModelError(f"model: expected at most {MAX_NODES} nodes, got {len(proto.graph.node)}")
    _check_opsets(proto)
    check_names(proto.graph)
    check_arity(proto)
    for tensor in _tensors(proto):
        _check_tensor(tensor, base_dir)


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


def _tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every initializer, stored constant and graph inside of nodes."""
    graphs: list[onnx.GraphProto | onnx.FunctionProto] = [proto.graph, *proto.functions]
    while graphs:
        graph = graphs.pop()
        if isinstance(graph, onnx.GraphProto):
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
        for attribute in (a for node in graph.node for a in node.attribute):
            yield from ([attribute.t] if attribute.HasField("t") else [])
            yield from attribute.tensors
            graphs += [attribute.g] if attribute.HasField("g") else []
            graphs += list(attribute.graphs)


def _check_tensor(tensor: onnx.TensorProto, base_dir: Path | None) -> None:
    if tensor.data_type not in _ELEMENTS:
        raise InvalidModelError(
            f"initializer {tensor.name!r}: expected an element type of ONNX, got {tensor.data_type}"
        )
    if any(dim < 0 for dim in tensor.dims):
        raise InvalidModelError(f"initializer {tensor.name!r}: expected dims >= 0, got {list(tensor.dims)}")
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        _check_location(tensor.name, _location(tensor), base_dir)
    elif tensor.data_type in _WHOLE_BYTES:
        _check_bytes(tensor)


def _check_bytes(tensor: onnx.TensorProto) -> None:
    """A tensor that claims a size must bring its values: nothing is allocated for a claim."""
    wanted = math.prod(tensor.dims)
    if tensor.HasField("raw_data"):
        got: float = len(tensor.raw_data) / _WHOLE_BYTES[tensor.data_type]
    else:
        fields = (tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data, tensor.uint64_data)
        got = sum(map(len, fields))
    if got != wanted:
        raise InvalidModelError(
            f"initializer {tensor.name!r}: expected {wanted} elements for dims {list(tensor.dims)}, got {got:g}"
        )


def _take_maps(proto: onnx.ModelProto) -> dict[str, onnx.TypeProto]:
    """Leave values that are or hold maps without a type; return their types."""
    infos = (*proto.graph.input, *proto.graph.output, *proto.graph.value_info)
    maps = {info.name: info for info in infos if _holds_map(info.type)}
    types = {name: onnx.TypeProto.FromString(info.type.SerializeToString()) for name, info in maps.items()}
    for info in maps.values():
        info.ClearField("type")
    return types


def _holds_map(kind: onnx.TypeProto) -> bool:
    while kind.WhichOneof("value") in ("sequence_type", "optional_type"):
        kind = kind.sequence_type.elem_type if kind.HasField("sequence_type") else kind.optional_type.elem_type
    return bool(kind.HasField("map_type"))


def _location(tensor: onnx.TensorProto) -> str:
    return next((entry.value for entry in tensor.external_data if entry.key == "location"), "")


def _check_location(name: str, location: str, base_dir: Path | None) -> None:
    """External data must be a file inside of the model's folder, links resolved."""
    if base_dir is None:
        raise UnsafeModelError(f"initializer {name!r}: external data needs a model given by path, got one in memory")
    root = base_dir.resolve()
    target = (root / location).resolve()
    if not location or Path(location).is_absolute() or not target.is_relative_to(root):
        raise UnsafeModelError(f"initializer {name!r}: expected external data in the model's folder, got {location!r}")
    if not target.is_file():
        raise InvalidModelError(f"initializer {name!r}: expected its external data in {location!r}, got no such file")


def _external_files(proto: onnx.ModelProto) -> list[str]:
    external = (tensor for tensor in _tensors(proto) if tensor.data_location == onnx.TensorProto.EXTERNAL)
    return sorted({_location(tensor) for tensor in external})


def _version(path: Path, external: list[str]) -> str:
    """sha256 of the model file, and of its external files by name; files that cannot be read are refused later."""
    digest = hashlib.sha256()
    for file in (path, *(path.parent / location for location in external)):
        if file.is_file() and file.resolve().is_relative_to(path.parent.resolve()):
            _feed(digest, file)
    return digest.hexdigest()


def _feed(digest: hashlib._Hash, file: Path) -> None:
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)


def _resolve_external(model: ir.Model, base_dir: Path | None) -> None:
    if base_dir is not None:
        for graph in (model.graph, *model.graph.subgraphs()):
            ir.external_data.set_base_dir(graph, base_dir)
            for value in graph.initializers.values():
                _check_size(value)


def _check_size(value: ir.Value) -> None:
    tensor = value.const_value
    if isinstance(tensor, ir.ExternalTensor):
        end = (tensor.offset or 0) + tensor.nbytes
        size = Path(tensor.path).stat().st_size
        if end > size:
            raise InvalidModelError(
                f"initializer {value.name!r}: expected external data up to byte {end}, got a file of {size}"
            )
