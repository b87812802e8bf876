from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bundle.errors import CorruptBundleError, InvalidNameError, MissingKeyError
from bundle.io import read_manifest, write_bundle
from bundle.manifest import Manifest
from bundle.registry import (
    KEPT_FORMER,
    check_name,
    delete_model,
    find_version,
    give_alias,
    list_records,
    read_record,
    register_model,
    roll_back,
)
from bundle.store import FolderStore
from tests.bundle.samples import make_sample


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


def _write(store: FolderStore, strategy: str = "row") -> Manifest:
    sample = make_sample()
    manifest = replace(sample.manifest, strategy=strategy)
    write_bundle(store, manifest, sample.assets)
    return manifest


def test_name_points_at_its_bundle(store: FolderStore) -> None:
    manifest = _write(store)
    record = register_model(store, "digits", manifest)
    assert read_record(store, "digits") == record
    assert (record.bundle_id, record.version) == (manifest.bundle_id, manifest.version)
    assert list_records(store) == ["digits"]


def test_name_registered_again_points_at_the_new_bundle_and_the_old_one_stays_until_it_is_deleted(
    store: FolderStore,
) -> None:
    old, new = _write(store, "row"), _write(store, "column")
    register_model(store, "digits", old)
    register_model(store, "digits", new)
    assert read_record(store, "digits").bundle_id == new.bundle_id
    assert read_record(store, "digits").former == (old.bundle_id,)
    for manifest in (new, old):
        read_manifest(store, manifest.bundle_id)
    delete_model(store, "digits")
    assert store.list("") == []


def test_bundle_stays_as_long_as_a_name_points_at_it(store: FolderStore) -> None:
    manifest = _write(store)
    register_model(store, "a", manifest)
    register_model(store, "b", manifest)
    register_model(store, "b", manifest)
    delete_model(store, "a")
    read_manifest(store, manifest.bundle_id)
    delete_model(store, "b")
    assert store.list("") == []


@pytest.mark.parametrize("name", ["", "A", "../x", "a/b", ".a", "-a", "a" * 64, "a\n", "é"])
def test_what_is_no_name_is_refused(store: FolderStore, name: str) -> None:
    manifest = _write(store)
    for use in (
        check_name,
        lambda n: read_record(store, n),
        lambda n: delete_model(store, n),
        lambda n: register_model(store, n, manifest),
    ):
        with pytest.raises(InvalidNameError, match="model name: expected"):
            use(name)


def test_unknown_model_is_missing(store: FolderStore) -> None:
    for use in (read_record, delete_model):
        with pytest.raises(MissingKeyError, match="'ghost' is not registered"):
            use(store, "ghost")


@pytest.mark.parametrize("text", ["{", "{}", '{"name": "a", "version": 1}', "[]"])
def test_damaged_record_is_refused(store: FolderStore, text: str) -> None:
    store.put("models/a.json", text.encode())
    with pytest.raises(CorruptBundleError, match="model a"):
        read_record(store, "a")


def test_name_is_rolled_back_to_what_it_had_before(store: FolderStore) -> None:
    one, two, three = (_write(store, strategy) for strategy in ("row", "column", "batch"))
    for manifest in (one, two, three):
        register_model(store, "m", manifest)
    assert roll_back(store, "m").bundle_id == two.bundle_id
    assert read_record(store, "m").former == (three.bundle_id, one.bundle_id)
    assert roll_back(store, "m", one.bundle_id[:6]).bundle_id == one.bundle_id
    with pytest.raises(MissingKeyError, match="no former bundle feed"):
        roll_back(store, "m", "feed")


def test_name_keeps_its_newest_former_bundles_and_loses_the_oldest(store: FolderStore) -> None:
    manifests = [_write(store, f"row-{number}") for number in range(KEPT_FORMER + 3)]
    register_model(store, "other", manifests[0])
    for manifest in manifests:
        register_model(store, "m", manifest)
    expected = [manifest.bundle_id for manifest in reversed(manifests[2:-1])]
    assert list(read_record(store, "m").former) == expected
    assert read_manifest(store, manifests[0].bundle_id) == manifests[0]  # another name has it
    with pytest.raises(MissingKeyError):
        read_manifest(store, manifests[1].bundle_id)


def test_name_without_a_past_cannot_be_rolled_back(store: FolderStore) -> None:
    register_model(store, "m", _write(store))
    with pytest.raises(MissingKeyError, match="no former bundle at all"):
        roll_back(store, "m")


def test_version_is_named_by_the_first_digits_of_its_bundle(store: FolderStore) -> None:
    one, two = _write(store, "row"), _write(store, "column")
    register_model(store, "m", one)
    register_model(store, "m", two)
    assert find_version(store, "m")[1] == two.bundle_id
    for manifest in (one, two):
        assert find_version(store, f"m@{manifest.bundle_id[:6]}")[1] == manifest.bundle_id
    for digits in ("", "xyz", "0" * 32):
        with pytest.raises(MissingKeyError, match="expected one version"):
            find_version(store, f"m@{digits}")


def test_alias_stays_at_its_version_and_keeps_the_bundle_alive(store: FolderStore) -> None:
    one, two, three = (_write(store, strategy) for strategy in ("row", "column", "batch"))
    register_model(store, "m", one)
    register_model(store, "m", two)
    give_alias(store, "stable", f"m@{one.bundle_id[:8]}")
    register_model(store, "m", three)
    assert read_record(store, "stable").bundle_id == one.bundle_id
    give_alias(store, "stable", "m")
    assert roll_back(store, "stable").bundle_id == one.bundle_id
    delete_model(store, "m")
    assert read_manifest(store, one.bundle_id) == one
    assert read_manifest(store, three.bundle_id) == three  # the alias was there
    with pytest.raises(MissingKeyError):
        read_manifest(store, two.bundle_id)
    with pytest.raises(InvalidNameError):
        give_alias(store, "m@x", "stable")


def test_bundle_that_a_run_reads_outlives_its_names(store: FolderStore) -> None:
    manifest = _write(store)
    register_model(store, "m", manifest)
    delete_model(store, "m", lambda: [manifest.bundle_id])
    assert read_manifest(store, manifest.bundle_id) == manifest
