from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bundle.errors import CorruptBundleError, InvalidNameError, MissingKeyError, TooLargeError
from bundle.io import asset_key, delete_bundle, manifest_key, read_asset, read_manifest, write_bundle
from bundle.store import FolderStore
from tests.bundle.samples import make_sample


def test_bundle_comes_back_as_it_was_written(tmp_path: Path) -> None:
    store, sample = FolderStore(tmp_path / "s"), make_sample()
    sources: dict[str, bytes | Path] = dict(sample.assets)
    shard = sample.manifest.ranks[0].shard
    (tmp_path / "shard").write_bytes(sample.assets[shard])
    sources[shard] = tmp_path / "shard"
    bundle_id = write_bundle(store, sample.manifest, sources)
    manifest = read_manifest(store, bundle_id)
    assert manifest == sample.manifest
    assert {a.sha256: bytes(read_asset(store, manifest, a)) for a in manifest.assets} == sample.assets


def test_bundle_with_a_missing_or_wrong_asset_is_not_written_at_all(tmp_path: Path) -> None:
    store, sample = FolderStore(tmp_path), make_sample()
    first = sample.manifest.assets[0].sha256
    for wrong in ({k: v for k, v in sample.assets.items() if k != first}, {**sample.assets, first: b"too long by far"}):
        with pytest.raises(CorruptBundleError, match=first):
            write_bundle(store, sample.manifest, wrong)
    assert store.list("") == []


def test_damaged_asset_is_refused(tmp_path: Path) -> None:
    store, sample = FolderStore(tmp_path), make_sample()
    bundle_id = write_bundle(store, sample.manifest, sample.assets)
    asset = sample.manifest.assets[-1]
    key = asset_key(bundle_id, asset.sha256)
    good = store.get(key)
    for bad, error in (
        (good[:-1], CorruptBundleError),
        (good + b"x", TooLargeError),
        (b"x" * len(good), CorruptBundleError),
    ):
        store.put(key, bad)
        with pytest.raises(error):
            read_asset(store, sample.manifest, asset)


def test_manifest_under_another_id_is_refused(tmp_path: Path) -> None:
    store, sample = FolderStore(tmp_path), make_sample()
    bundle_id = write_bundle(store, sample.manifest, sample.assets)
    other = replace(sample.manifest, strategy="column")
    store.put(manifest_key(bundle_id), other.to_json())
    with pytest.raises(CorruptBundleError, match=f"expected bundle id {bundle_id}, got {other.bundle_id}"):
        read_manifest(store, bundle_id)


@pytest.mark.parametrize("bundle_id", ["", "../../x", "A" * 32, "0" * 31])
def test_what_is_no_bundle_id_is_refused(tmp_path: Path, bundle_id: str) -> None:
    with pytest.raises(InvalidNameError):
        read_manifest(FolderStore(tmp_path), bundle_id)


def test_deleted_bundle_leaves_nothing(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    kept, gone = make_sample(1), make_sample(2)
    for sample in (kept, gone):
        write_bundle(store, sample.manifest, sample.assets)
    delete_bundle(store, gone.manifest.bundle_id)
    with pytest.raises(MissingKeyError):
        read_manifest(store, gone.manifest.bundle_id)
    assert all(key.startswith(f"bundles/{kept.manifest.bundle_id}/") for key in store.list(""))
