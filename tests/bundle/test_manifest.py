from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bundle.errors import CorruptBundleError
from bundle.manifest import Manifest
from tests.bundle.samples import make_sample

Document = dict[str, Any]


def test_manifest_survives_json() -> None:
    manifest = make_sample(3).manifest
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_json_is_canonical_so_that_equal_manifests_are_one_bundle() -> None:
    manifest = make_sample().manifest
    assert Manifest.from_json(json.dumps(json.loads(manifest.to_json()), indent=1)).bundle_id == manifest.bundle_id
    assert len(manifest.bundle_id) == 32


def test_bundle_id_changes_with_every_part() -> None:
    manifest = make_sample().manifest
    assert replace(manifest, strategy="column").bundle_id != manifest.bundle_id
    assert replace(manifest, info={}).bundle_id != manifest.bundle_id


def _set(*path: str | int, value: object) -> Callable[[Document], None]:
    def damage(document: Document) -> None:
        target: Any = document
        for part in path[:-1]:
            target = target[part]
        target[path[-1]] = value

    return damage


def _drop(name: str) -> Callable[[Document], None]:
    return lambda document: document.pop(name)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_set("schema_version", value=2), "schema_version: expected 1, got 2"),
        (_set("extra", value=1), "unknown fields ['extra']"),
        (_drop("strategy"), "field 'strategy' is missing"),
        (_set("model", value=3), "model: expected a string"),
        (_set("version", value="../x"), "version: expected 64 hex digits"),
        (_set("world_size", value=True), "world_size: expected an integer"),
        (_set("world_size", value=3), "world_size: expected the number of ranks 2"),
        (_set("inputs", 0, "shape", value=[-1]), "shape: expected sizes >= 0"),
        (_set("inputs", 0, "shape", value=[1.5]), "shape: expected sizes or names"),
        (_set("inputs", 0, "dtype", value="object"), "expected 'string' or one of"),
        (_set("inputs", 0, "name", value=""), "expected a name"),
        (_set("assets", 0, "kind", value="code"), "kind: expected one of"),
        (_set("assets", 0, "sha256", value="ab"), "expected 64 hex digits"),
        (_set("assets", 0, "size_bytes", value=-1), "size_bytes: expected an integer"),
        (_set("ranks", 1, "rank", value=0), "rank: expected 1, got 0"),
        (_set("ranks", 1, "program", value="f" * 64), "among the assets as a program"),
        (_set("ranks", 0, "tensors", 0, "offset", value=32), "offset: expected a multiple of 64"),
        (_set("ranks", 0, "tensors", 0, "offset", value=1 << 40), "expected to end within"),
        (_set("ranks", 0, "tensors", 0, "nbytes", value=8), "nbytes: expected 12, got 8"),
        (_set("ranks", 0, "tensors", 0, "shape", value=[1 << 40, 1 << 40]), "nbytes: expected"),
        (_set("ranks", 0, "tensors", 0, "dtype", value="string"), "expected a fixed-size dtype"),
        (_set("ranks", 0, "tensors", 1, "name", value="w"), "expected each once, got 'w' 2 times"),
        (_set("info", "list", value=[1]), "info['list']: expected a bool, finite number or string"),
        (_set("ranks", value={}), "ranks: expected an array"),
        (_set("ranks", 0, value=7), "expected an object, got 7"),
    ],
)
def test_damaged_manifest_is_refused_with_one_line(damage: Callable[[Document], None], message: str) -> None:
    document = json.loads(make_sample().manifest.to_json())
    damage(document)
    with pytest.raises(CorruptBundleError) as caught:
        Manifest.from_json(json.dumps(document))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "NaN", '{"a": 1, "a": 2}', '{"a": Infinity}', "[" * 100_000])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(CorruptBundleError):
        Manifest.from_json(text)


def test_contradicting_manifest_is_not_written() -> None:
    manifest = make_sample().manifest
    with pytest.raises(CorruptBundleError, match="is used by no rank"):
        replace(manifest, ranks=tuple(replace(rank, graphs=()) for rank in manifest.ranks)).to_json()
    with pytest.raises(CorruptBundleError, match=r"info\['x'\]: expected a bool"):
        replace(manifest, info={"x": float("nan")}).to_json()
    with pytest.raises(CorruptBundleError, match="expected plain Python values, got int64"):
        replace(manifest, model_weight_bytes=np.int64(3)).to_json()  # type: ignore[arg-type]
