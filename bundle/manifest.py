"""The manifest: what a compiled model consists of and what a request to it looks like. Data only.

`bundle.schema` reads and writes its JSON, `bundle.check` holds its parts against each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

SCHEMA_VERSION = 1
ALIGNMENT = 64

AssetKind = Literal["graph", "program", "shard"]
Info = bool | int | float | str


@dataclass(frozen=True)
class Asset:
    """One immutable blob of a bundle, named by its content.

    sha256:     64 hex digits.
    size_bytes: exact length.
    kind:       program (JSON), graph (ONNX without weights) or shard (weights).
    """

    sha256: str
    size_bytes: int
    kind: AssetKind


@dataclass(frozen=True)
class TensorSpec:
    """One named input or output of a request.

    dtype: a name of bundle.dtypes.DTYPES, "string", or of what is no tensor "seq(...)", "map(...)",
           "optional(...)".
    shape: a number, or a name for a size chosen by the request: equal names are equal sizes, "" is free.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class TensorEntry:
    """Where one tensor lies in a shard.

    dtype:  a name of bundle.dtypes.DTYPES.
    offset: bytes from the shard's start, a multiple of ALIGNMENT.
    nbytes: bytes of the tensor, without padding; the product of the shape and the element size.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int


@dataclass(frozen=True)
class RankEntry:
    """What one rank loads.

    program:      sha256 of its program.
    shard:        sha256 of its weights; empty when it has none.
    graphs:       sha256 of the sub-graphs that its program runs.
    tensors:      index of the shard.
    weight_bytes: bytes of the model's weights in it, without index maps.
    """

    rank: int
    program: str
    shard: str = ""
    graphs: tuple[str, ...] = ()
    tensors: tuple[TensorEntry, ...] = ()
    weight_bytes: int = 0


PRECISIONS = ("exact", "fp16", "bf16", "int8")


@dataclass(frozen=True)
class Manifest:
    """One compiled model.

    model:              name of the graph.
    version:            sha256 of the model's bytes.
    strategy:           how the work is divided, as compiled ("row", "batch=2,row=4", ...).
    world_size:         number of ranks.
    assets:             every blob that a rank refers to, each once.
    ranks:              entry i is rank i.
    model_weight_bytes: bytes of the whole model's weights.
    info:               compiler options, figures for reports, and what channel `auto` goes by; no answer depends on it.
    precision:          in what floats travel between ranks, one of PRECISIONS.
    """

    model: str
    version: str
    strategy: str
    world_size: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    assets: tuple[Asset, ...]
    ranks: tuple[RankEntry, ...]
    model_weight_bytes: int = 0
    info: Mapping[str, Info] = field(default_factory=dict)
    precision: str = "exact"
    schema_version: int = SCHEMA_VERSION

    @cached_property
    def bundle_id(self) -> str:
        """First 32 hex digits of sha256 over the canonical JSON: equal manifests are one bundle."""
        from bundle.schema import manifest_id

        return manifest_id(self)

    def to_json(self) -> bytes:
        """Canonical JSON.

        Raises:
            CorruptBundleError: if its parts contradict each other.
        """
        from bundle.schema import encode_manifest

        return encode_manifest(self)

    @staticmethod
    def from_json(data: bytes | str) -> Manifest:
        """The manifest of a JSON document, every field checked.

        Raises:
            CorruptBundleError: if it is not a manifest of this schema version, or contradicts itself.
        """
        from bundle.schema import decode_manifest

        return decode_manifest(data)
