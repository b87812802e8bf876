"""Manifest <-> canonical JSON, every field checked on the way in and on the way out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, cast, get_args

from bundle.check import manifest_violations
from bundle.errors import CorruptBundleError
from bundle.fields import FieldError, Fields, canonical_json, parse_json
from bundle.manifest import (
    SCHEMA_VERSION,
    Asset,
    AssetKind,
    Manifest,
    RankEntry,
    TensorEntry,
    TensorSpec,
)


def encode_manifest(manifest: Manifest) -> bytes:
    """Canonical JSON of a manifest.

    Raises:
        CorruptBundleError: if its parts contradict each other.
    """
    _refuse_contradictions(manifest)
    return canonical_json(manifest, _plain)


def manifest_id(manifest: Manifest) -> str:
    """First 32 hex digits of sha256 over the canonical JSON.

    Raises:
        CorruptBundleError: if its parts contradict each other.
    """
    return json_id(encode_manifest(manifest))


def json_id(data: bytes) -> str:
    """First 32 hex digits of sha256 over a manifest's canonical JSON."""
    return hashlib.sha256(data).hexdigest()[:32]


def decode_manifest(data: bytes | str) -> Manifest:
    """The manifest of a JSON document.

    Raises:
        CorruptBundleError: if it is not a manifest of this schema version, or contradicts itself.
    """
    try:
        manifest = _manifest(parse_json(data, "manifest"))
    except FieldError as error:
        raise CorruptBundleError(str(error)) from error
    _refuse_contradictions(manifest)
    return manifest


def _plain(value: object) -> dict[str, Any]:
    """A dataclass as an object; dataclasses.asdict copies every leaf and takes five times as long."""
    if isinstance(value, Mapping):
        return dict(value)
    if type(value) not in _NAMES:
        raise CorruptBundleError(f"manifest: expected plain Python values, got {type(value).__name__} {value!r}")
    return {name: getattr(value, name) for name in _NAMES[type(value)]}


_NAMES: Mapping[type[object], list[str]] = {
    kind: [item.name for item in fields(kind)] for kind in (Asset, Manifest, RankEntry, TensorEntry, TensorSpec)
}


def _refuse_contradictions(manifest: Manifest) -> None:
    violations = manifest_violations(manifest)
    if violations:
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        raise CorruptBundleError(f"manifest.{violations[0]}{more}")


def _manifest(fields: Fields) -> Manifest:
    version = fields.integer("schema_version")
    if version != SCHEMA_VERSION:
        raise FieldError(f"manifest.schema_version: expected {SCHEMA_VERSION}, got {version}: register the model again")
    manifest = Manifest(
        model=fields.text("model"),
        version=fields.text("version"),
        strategy=fields.text("strategy"),
        world_size=fields.integer("world_size", low=1),
        inputs=tuple(_spec(item) for item in fields.objects("inputs")),
        outputs=tuple(_spec(item) for item in fields.objects("outputs")),
        assets=tuple(_asset(item) for item in fields.objects("assets")),
        ranks=tuple(_rank(item) for item in fields.objects("ranks")),
        model_weight_bytes=fields.integer("model_weight_bytes"),
        info=fields.mapping("info"),
        precision=fields.text("precision", default="exact"),
    )
    fields.done()
    return manifest


def _spec(fields: Fields) -> TensorSpec:
    spec = TensorSpec(fields.text("name"), fields.text("dtype"), _dims(fields))
    fields.done()
    return spec


def _dims(fields: Fields) -> tuple[int | str, ...]:
    sizes = fields.items("shape")
    for size in sizes:
        if isinstance(size, bool) or not isinstance(size, int | str):
            fields.fail("shape", "sizes or names", size)
    return tuple(sizes)


def _asset(fields: Fields) -> Asset:
    kind = fields.text("kind")
    if kind not in get_args(AssetKind):
        fields.fail("kind", f"one of {get_args(AssetKind)}", kind)
    asset = Asset(fields.text("sha256"), fields.integer("size_bytes"), cast(AssetKind, kind))
    fields.done()
    return asset


def _rank(fields: Fields) -> RankEntry:
    entry = RankEntry(
        rank=fields.integer("rank"),
        program=fields.text("program"),
        shard=fields.text("shard"),
        graphs=fields.texts("graphs"),
        tensors=tuple(_tensor(item) for item in fields.objects("tensors")),
        weight_bytes=fields.integer("weight_bytes"),
    )
    fields.done()
    return entry


def _tensor(fields: Fields) -> TensorEntry:
    entry = TensorEntry(
        name=fields.text("name"),
        dtype=fields.text("dtype"),
        shape=fields.integers("shape"),
        offset=fields.integer("offset"),
        nbytes=fields.integer("nbytes"),
    )
    fields.done()
    return entry
