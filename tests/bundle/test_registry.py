"""Names point at whole bundles only, and forget what nobody else needs."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from bundle.errors import CorruptBundleError, InvalidNameError, MissingKeyError
from bundle.io import read_manifest, write_bundle
from bundle.manifest import Asset, Manifest, RankEntry, TensorSpec
from bundle.registry import delete_model, list_records, read_record, register_model
from bundle.store import FolderStore


def stored(store: FolderStore, model: str) -> Manifest:
    """A one-rank bundle, different for every `model`."""
    program = model.encode()
    sha256 = hashlib.sha256(program).hexdigest()
    spec = TensorSpec("x", "float32", ("n", 2))
    manifest = Manifest(
        model=model,
        version=sha256,
        strategy="serial",
        world_size=1,
        inputs=(spec,),
        outputs=(TensorSpec("y", "float32", ("n", 2)),),
        assets=(Asset(sha256, len(program), "program"),),
        ranks=(RankEntry(0, sha256),),
    )
    write_bundle(store, manifest, {sha256: program})
    return manifest


def test_a_name_points_at_what_was_registered_last(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    first, second = stored(store, "one"), stored(store, "two")
    register_model(store, "m", first)
    register_model(store, "m", second)
    assert read_record(store, "m").bundle_id == second.bundle_id
    assert read_record(store, "m").former == (first.bundle_id,)
    assert read_manifest(store, first.bundle_id) == first


def test_removing_a_name_removes_all_its_bundles(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    for model in ("one", "two"):
        register_model(store, "m", stored(store, model))
    delete_model(store, "m")
    assert list(store.list("")) == []


def test_a_bundle_that_another_name_has_stays(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    manifest = stored(store, "one")
    register_model(store, "a", manifest)
    register_model(store, "b", manifest)
    delete_model(store, "a")
    assert list_records(store) == ["b"]
    assert read_manifest(store, manifest.bundle_id) == manifest


def test_an_unknown_name_is_a_missing_key(tmp_path: Path) -> None:
    with pytest.raises(MissingKeyError, match="'m' is not registered"):
        delete_model(FolderStore(tmp_path), "m")


@pytest.mark.parametrize("name", ["", "../a", "a/b", "A", ".a", "a" * 64, "a\n", "a b"])
def test_a_name_that_could_escape_its_prefix_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidNameError):
        read_record(FolderStore(tmp_path), name)


def test_a_record_that_is_none_is_corrupt(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.put("models/m.json", b'{"name": "m"}')
    with pytest.raises(CorruptBundleError, match="version"):
        read_record(store, "m")
