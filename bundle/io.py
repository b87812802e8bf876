"""Write a bundle to a store and read it back; every asset is checked against its name, which is its content's hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from bundle.errors import CorruptBundleError, InvalidNameError
from bundle.fields import MAX_JSON_BYTES
from bundle.manifest import Asset, AssetKind, Manifest
from bundle.schema import json_id
from bundle.store import Store


def bundle_prefix(bundle_id: str) -> str:
    """Prefix of every key of a bundle, with the closing slash."""
    if len(bundle_id) != 32 or not set(bundle_id) <= set("0123456789abcdef"):
        raise InvalidNameError(f"bundle id: expected 32 hex digits, got {bundle_id[:100]!r}")
    return f"bundles/{bundle_id}/"


def asset_key(bundle_id: str, sha256: str) -> str:
    """Key of one asset of a bundle."""
    return f"{bundle_prefix(bundle_id)}assets/{sha256}"


def manifest_key(bundle_id: str) -> str:
    """Key of a bundle's manifest."""
    return f"{bundle_prefix(bundle_id)}manifest.json"


def asset_of(data: bytes, kind: AssetKind) -> Asset:
    """The Asset that describes these bytes."""
    return Asset(hashlib.sha256(data).hexdigest(), len(data), kind)


def write_bundle(store: Store, manifest: Manifest, assets: Mapping[str, bytes | Path]) -> str:
    """Store the assets, then the manifest; return the bundle id.

    assets: by sha256, the bytes or the file that holds them; every asset of the manifest must be there.

    Raises:
        CorruptBundleError: if an asset is missing, or its size or the manifest is wrong; nothing is written then.
    """
    data = manifest.to_json()
    for asset in manifest.assets:
        _check_source(asset, assets.get(asset.sha256))
    for asset in manifest.assets:
        _put(store, asset_key(manifest.bundle_id, asset.sha256), assets[asset.sha256])
    store.put(manifest_key(manifest.bundle_id), data)
    return manifest.bundle_id


def read_manifest(store: Store, bundle_id: str) -> Manifest:
    """The manifest of a bundle.

    Raises:
        MissingKeyError: if there is no such bundle.
        CorruptBundleError: if the manifest is not the one that the id names.
    """
    data = store.get(manifest_key(bundle_id), MAX_JSON_BYTES)
    if json_id(data) != bundle_id:
        raise CorruptBundleError(f"manifest: expected bundle id {bundle_id}, got {json_id(data)}")
    manifest = Manifest.from_json(data)
    vars(manifest)["bundle_id"] = bundle_id  # fills the cached property: computing it would encode everything again
    return manifest


def read_asset(store: Store, manifest: Manifest, asset: Asset) -> memoryview:
    """The bytes of an asset, memory-mapped where the store can.

    Raises:
        MissingKeyError: if it is not stored.
        CorruptBundleError: if its size or sha256 is wrong.
    """
    blob = store.view(asset_key(manifest.bundle_id, asset.sha256), max_bytes=asset.size_bytes)
    if len(blob) != asset.size_bytes:
        raise CorruptBundleError(f"asset {asset.sha256}: expected {asset.size_bytes} bytes, got {len(blob)}")
    sha256 = hashlib.sha256(blob).hexdigest()
    if sha256 != asset.sha256:
        raise CorruptBundleError(f"asset {asset.sha256}: the stored bytes have sha256 {sha256}")
    return blob


def delete_bundle(store: Store, bundle_id: str) -> None:
    """Remove a bundle, the manifest first, so that no reader finds it half there."""
    store.delete([manifest_key(bundle_id)])
    store.delete(store.list(bundle_prefix(bundle_id)))


def _check_source(asset: Asset, source: bytes | Path | None) -> None:
    if source is None:
        raise CorruptBundleError(f"bundle: asset {asset.sha256} ({asset.kind}) was not given")
    size = source.stat().st_size if isinstance(source, Path) else len(source)
    if size != asset.size_bytes:
        raise CorruptBundleError(f"bundle: asset {asset.sha256}: expected {asset.size_bytes} bytes, got {size}")


def _put(store: Store, key: str, source: bytes | Path) -> None:
    if isinstance(source, Path):
        store.put_file(key, source)
    else:
        store.put(key, source)
