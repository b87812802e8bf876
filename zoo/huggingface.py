"""Models of the Hugging Face hub, `hf:OWNER/NAME[@REVISION][:FILE]`, by the optional package huggingface_hub.

Cache, access and address are that package's (HF_HOME, HF_HUB_CACHE, HF_TOKEN, HF_ENDPOINT). Stages: pick the .onnx
file; fetch it and the files of external data that it names, of one commit; copy them to a folder as in the repository.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import onnx

from zoo.download import sha256_of
from zoo.errors import SourceError

T = TypeVar("T")

PREFERRED = ("onnx/model.onnx", "model.onnx")  # where exporters put the model that is not quantised
_NAME = re.compile(r"hf:([\w.-]+/[\w.-]+)(?:@([\w.-]+))?(?::(.+))?")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Repository:
    """A repository at a revision: a branch, a tag or a commit."""

    name: str
    revision: str

    def files(self) -> list[str]:
        """Paths of all files.

        Raises:
            SourceError: they cannot be listed.
        """
        return _call(self.name, lambda hub: list(_api(hub).list_repo_files(self.name, revision=self.revision)))

    def fetch(self, file: str) -> Path:
        """A file in huggingface_hub's cache, fetched unless it is there.

        Raises:
            SourceError: it cannot be fetched, or is not what the hub says it is.
        """
        path = _call(f"{self.name}:{file}", lambda hub: Path(_download(hub, self, file)))
        digest = path.resolve().name  # large files are kept under their sha256, small ones under that of git
        if _SHA256.fullmatch(digest) and sha256_of(path) != digest:
            raise SourceError(
                f"model hf:{self.name}:{file}: expected sha256 {digest}, got another; remove {path.resolve()}"
            )
        return path


def fetch_from_hugging_face(reference: str, folder: Path) -> Path:
    """The .onnx file of `hf:OWNER/NAME[@REVISION][:FILE]`, with its external data, placed in `folder`.

    Raises:
        SourceError: no such model, it cannot be reached, several files could be meant, or huggingface_hub is missing.
    """
    match = _NAME.fullmatch(reference)
    if match is None:
        raise SourceError(
            f"model {reference[:200]!r}: expected hf:OWNER/NAME, hf:OWNER/NAME:FILE or hf:OWNER/NAME@REVISION:FILE"
        )
    repository = Repository(match[1], match[2] or "main")
    file = _inside(match[3]) if match[3] else _the_model(repository)
    cached = repository.fetch(file)
    same = replace(repository, revision=_commit(cached))
    place(cached, folder / file)
    for location in sorted(set(external_files(cached))):
        data = _inside(str(PurePosixPath(file).parent / location))
        place(same.fetch(data), folder / data)
    return folder / file


def external_files(path: Path) -> Iterator[str]:
    """Locations of the external data that a model names; nothing of it is read."""
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's DecodeError has no root that onnx exports
        raise SourceError(f"{path.name}: expected an ONNX model, got {' '.join(str(error).split())[:200]}") from error
    for graph in _graphs(model.graph):
        for tensor in graph.initializer:
            yield from (entry.value for entry in tensor.external_data if entry.key == "location")


def place(source: Path, target: Path) -> None:
    """A copy: the cache holds links, and onnx takes neither those nor a second name of a file for external data."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _graphs(inner)


def _inside(file: str) -> str:
    """A path in a repository.

    Raises:
        SourceError: it leads out.
    """
    path = PurePosixPath(file)
    if path.is_absolute() or ".." in path.parts or "\\" in file or not file.isprintable():
        raise SourceError(f"file {file[:200]!r}: expected a path inside of the repository")
    return str(path)


def _the_model(repository: Repository) -> str:
    files = repository.files()
    found = [file for file in files if file.endswith(".onnx")]
    preferred = [file for file in PREFERRED if file in found]
    if preferred or len(found) == 1:
        return _inside((preferred or found)[0])
    listed = f"{len(found)}: {', '.join(sorted(found))[:300]}" if found else f"none among {len(files)} files"
    raise SourceError(f"model hf:{repository.name}: expected one .onnx file, or a name after a colon, got {listed}")


def _commit(cached: Path) -> str:
    """The commit of a cached file: .../snapshots/COMMIT/file."""
    return cached.parts[cached.parts.index("snapshots") + 1]


def _download(hub: Any, repository: Repository, file: str) -> str:
    hub.utils.disable_progress_bars()
    return str(
        hub.hf_hub_download(
            repository.name,
            file,
            revision=repository.revision,
            endpoint=os.environ.get("HF_ENDPOINT"),
            cache_dir=os.environ.get("HF_HUB_CACHE"),
        )
    )


def _api(hub: Any) -> Any:
    return hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT"))


def _call(what: str, use: Callable[[Any], T]) -> T:
    """What `use` makes of huggingface_hub.

    Raises:
        SourceError: the package is missing, or says no.
    """
    try:
        hub, errors = import_module("huggingface_hub"), import_module("huggingface_hub.errors")
    except ImportError as error:
        raise SourceError(f"model hf:{what}: needs a package: pip install huggingface_hub") from error
    try:
        return use(hub)
    except (errors.HTTPError, OSError, ValueError) as error:
        raise SourceError(f"model hf:{what}: {' '.join(str(error).split())[:400]}") from error
