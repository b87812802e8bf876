"""Front end: a proto or a path becomes an onnx-ir model with lazily read weights, or one typed error."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from partition.checks import MAX_NODES, check_model
from partition.errors import CompileError, InvalidModelError, UnsupportedModelError
from partition.sparse.weights import SparseWeight, take_sparse
from partition.tensor_checks import external_files
from partition.wire import has_more_nodes

_CHUNK = 1 << 20
_LARGE_FILE = 32 << 20  # bytes; a smaller one is parsed in little memory whatever it holds


@dataclass(frozen=True)
class Source:
    """A checked model.

    model:   the graph; weights are read when asked for, external ones are memory-mapped.
    sparse:  sparse weights by name; the graph has a typed input of the same name for each.
    maps:    types of the values that are or hold maps, by name: onnx-ir does not know such types.
    files:   the model's file and its external data; empty for a model in memory.
    data:    the bytes of a model in memory.
    """

    model: ir.Model
    sparse: dict[str, SparseWeight]
    maps: dict[str, onnx.TypeProto]
    files: tuple[Path, ...]
    data: bytes

    @cached_property
    def version(self) -> str:
        """sha256 of the model's bytes and of its external files by name. For gigabytes this takes seconds."""
        digest = hashlib.sha256(self.data)
        for file in self.files:
            _feed(digest, file)
        return digest.hexdigest()


def load(model: onnx.ModelProto | Path | str) -> Source:
    """Read and check a model; a proto that is handed in is not changed.

    Raises:
        InvalidModelError: if it is no ONNX model that can run.
        UnsafeModelError: if it refers to files outside of its folder.
        UnsupportedModelError: if it is too large.
    """
    proto, base_dir, data = _read(model)
    check_model(proto, base_dir)
    files = () if base_dir is None else (Path(str(model)), *(base_dir / name for name in external_files(proto)))
    try:
        sparse, maps = take_sparse(proto, base_dir), _take_maps(proto)
        loaded = ir.serde.deserialize_model(proto)
        _resolve_external(loaded, base_dir)
        loaded.graph.sort()
    except CompileError:
        raise
    except (ValueError, TypeError, KeyError, OSError, RuntimeError, NotImplementedError) as error:
        raise InvalidModelError(f"model: expected a well-formed ONNX graph, got {error}") from error
    return Source(loaded, sparse, maps, files, data)


def _read(model: onnx.ModelProto | Path | str) -> tuple[onnx.ModelProto, Path | None, bytes]:
    """The model, its folder if it has one, and its bytes if not."""
    if isinstance(model, onnx.ModelProto):
        data = model.SerializeToString(deterministic=True)
        return onnx.ModelProto.FromString(data), None, data
    path = Path(model)
    if not path.is_file():
        raise InvalidModelError(f"model {path.name!r}: expected an .onnx file, got none there")
    _check_nodes(path)
    try:
        proto = onnx.ModelProto.FromString(path.read_bytes())
    except (DecodeError, ValueError) as error:
        raise InvalidModelError(f"model {path.name!r}: expected ONNX, got bytes that are no ONNX protobuf") from error
    return proto, path.parent, b""


def _check_nodes(path: Path) -> None:
    """Refuse a large file for its nodes before it is parsed; a small one may be."""
    if path.stat().st_size > _LARGE_FILE:
        with path.open("rb") as file:
            if has_more_nodes(file, MAX_NODES):
                raise UnsupportedModelError(f"model: expected at most {MAX_NODES} nodes, got more")


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
        if tensor.length is not None and tensor.length != tensor.nbytes:
            raise InvalidModelError(
                f"initializer {value.name!r}: expected {tensor.nbytes} bytes of external data, got {tensor.length}"
            )
        end = (tensor.offset or 0) + tensor.nbytes
        size = Path(tensor.path).stat().st_size
        if end > size:
            raise InvalidModelError(
                f"initializer {value.name!r}: expected external data up to byte {end}, got a file of {size}"
            )
