"""The registered models, as `fsd models` and the `models` function list them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from bundle.io import read_manifest
from bundle.manifest import Manifest
from bundle.registry import ModelRecord, list_records, read_record
from bundle.store import Store


def list_models(store: Store) -> list[dict[str, Any]]:
    """One entry per registered name, in alphabetical order."""
    return [describe_model(store, name) for name in list_records(store)]


def describe_model(store: Store, name: str) -> dict[str, Any]:
    """Name, version, signature, strategy, workers and shard sizes (bytes by rank) of one model.

    Raises:
        BundleError: no such model, or its bundle cannot be read.
    """
    record = read_record(store, name)
    return describe(record, read_manifest(store, record.bundle_id))


def merged_rows(info: Mapping[str, Any]) -> dict[str, int]:
    """Rows of sparse layers that were merged into equal ones, and bytes saved; empty where none were looked for."""
    names = {"rows": "rows_merged", "saved_bytes": "merged_saved_bytes"}
    return {name: int(info[key]) for name, key in names.items() if key in info}


def describe(record: ModelRecord, manifest: Manifest) -> dict[str, Any]:
    """The entry of a model whose manifest is at hand."""
    return {
        "name": record.name,
        "version": manifest.version[:12],
        "bundle": manifest.bundle_id,
        "former": list(record.former),
        "strategy": manifest.strategy,
        "workers": manifest.world_size,
        "inputs": [asdict(spec) | {"shape": list(spec.shape)} for spec in manifest.inputs],
        "outputs": [asdict(spec) | {"shape": list(spec.shape)} for spec in manifest.outputs],
        "model_weight_bytes": manifest.model_weight_bytes,
        "shard_bytes": [rank.weight_bytes for rank in manifest.ranks],
        "merged": merged_rows(manifest.info),
    }
