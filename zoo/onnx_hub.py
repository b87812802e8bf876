"""Models of an ONNX Model Hub, `hub:NAME` or `hub:NAME@OPSET`: the manifest at its root says path, size and sha256.

onnx had a client of its own, `onnx.hub`, which its releases no longer have; manifest and cache are still those, so that
what it fetched is found. Stages: read the manifest, or that of last time; pick an entry; fetch its file if need be.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from zoo.download import download, read, sha256_of
from zoo.errors import SourceError

MANIFEST = "ONNX_HUB_MANIFEST.json"
MANIFEST_LIMIT_BYTES = 64 << 20
FILE_LIMIT_BYTES = 64 << 30
ADDRESS = "FSD_ONNX_HUB"  # environment: where manifest and files are, if not at the public hub
PUBLIC = (
    "https://raw.githubusercontent.com/onnx/models/main/",
    "https://media.githubusercontent.com/media/onnx/models/main/",
)
_NAME = re.compile(r"hub:([^@]+)(?:@([0-9]{1,3}))?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FOLDER, _FILE = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9_.+-]*"), re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9_.+-]*\.onnx")


@dataclass(frozen=True)
class Entry:
    """One model of the manifest.

    path:       of its file, relative to the hub's root; plain names only.
    size_bytes: of its file; None = not given.
    """

    model: str
    opset: int
    path: str
    sha256: str
    size_bytes: int | None


def fetch_from_hub(reference: str) -> Path:
    """The file of `hub:NAME` or `hub:NAME@OPSET`, fetched into the cache unless it is there; newest opset by default.

    Raises:
        SourceError: no such model, it cannot be reached, or it is not what the manifest says.
    """
    match = _NAME.fullmatch(reference)
    if match is None:
        raise SourceError(f"model {reference[:200]!r}: expected hub:NAME or hub:NAME@OPSET")
    entry = _pick(_manifest(), match[1], int(match[2]) if match[2] else None)
    folder, _, name = entry.path.rpartition("/")
    path = cache() / folder / f"{entry.sha256}_{name}"
    if not path.is_file() or sha256_of(path) != entry.sha256:
        limit = FILE_LIMIT_BYTES if entry.size_bytes is None else entry.size_bytes
        download(_address(1) + quote(entry.path), path, entry.sha256, limit)
    return path


def cache() -> Path:
    """Where files are kept: the folder of `onnx.hub`."""
    if "ONNX_HOME" in os.environ:
        return Path(os.environ["ONNX_HOME"]) / "hub"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "onnx" / "hub"


def _address(which: int) -> str:
    """Of manifests (0) or files (1), with a slash at the end."""
    given = os.environ.get(ADDRESS)
    return given.rstrip("/") + "/" if given else PUBLIC[which]


def _manifest() -> list[Any]:
    """The hub's manifest; the one of last time where the hub cannot be reached.

    Raises:
        SourceError: there is neither, or it is no list.
    """
    kept = cache() / MANIFEST
    try:
        content = read(_address(0) + MANIFEST, MANIFEST_LIMIT_BYTES)
    except SourceError:
        if not kept.is_file():
            raise
        content = kept.read_bytes()
    try:
        entries = json.loads(content)
    except ValueError as error:
        raise SourceError(f"{_address(0)}{MANIFEST}: expected JSON, got {error}") from error
    if not isinstance(entries, list):
        raise SourceError(f"{_address(0)}{MANIFEST}: expected a list, got {type(entries).__name__}")
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(content)
    return entries


def _pick(entries: list[Any], name: str, opset: int | None) -> Entry:
    named = [e for e in entries if isinstance(e, Mapping) and str(e.get("model", "")).lower() == name.lower()]
    if not named:
        raise SourceError(f"model hub:{name[:100]}: {_address(0)} has none of that name among {len(entries)}")
    found = sorted(map(_entry, named), key=lambda entry: entry.opset)
    wanted = [entry for entry in found if opset in (None, entry.opset)]
    if not wanted:
        raise SourceError(f"model hub:{name}: expected one of the opsets {[e.opset for e in found]}, got {opset}")
    return wanted[-1]


def _entry(raw: Mapping[str, Any]) -> Entry:
    """An entry whose path stays inside of any folder that it is joined to.

    Raises:
        SourceError: a field is missing or not what it should be.
    """
    model, path, metadata = str(raw["model"]), raw.get("model_path"), raw.get("metadata")
    *folders, file = path.split("/") if isinstance(path, str) else [""]
    if not (_FILE.fullmatch(file) and all(map(_FOLDER.fullmatch, folders))):
        raise SourceError(f"model hub:{model[:100]!r}: expected the path of an .onnx file, got {str(path)[:100]!r}")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    sha256 = metadata.get("model_sha")
    if not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
        raise SourceError(f"model hub:{model}: expected a sha256 in the manifest, got {str(sha256)[:100]!r}")
    size, opset = metadata.get("model_bytes"), raw.get("opset_version")
    return Entry(
        model, opset if isinstance(opset, int) else 0, str(path), sha256, size if isinstance(size, int) else None
    )
