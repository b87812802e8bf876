"""Where a model file comes from: a card of the zoo, a file, an object on S3, or a public hub."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from zoo.card import Arrays
from zoo.errors import SourceError, UnknownCard
from zoo.registry import get_card

# Writes the object (bucket, key) to a path; raises SourceError when there is none.
Fetch = Callable[[str, str, Path], None]
_HUBS = ("hf:", "hub:")
_IN_HUB = re.compile(r"(?:hf:[^/]*/|hub:)([^@:]+)")
_URI = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(\S.*)")


def is_card(model: str) -> bool:
    """Whether `model` is meant as the name of a card rather than as a file or an object."""
    return not (model.startswith(("s3://", *_HUBS)) or model.endswith(".onnx") or "/" in model)


def default_name(model: str) -> str:
    """The name a model gets when none is given: a card's own, else the file's stem in the alphabet of names."""
    if is_card(model):
        return model
    stem = _stem(model).lower()
    name = re.sub(r"[^a-z0-9._-]", "-", stem).lstrip("._-")
    return name[:63] or "model"


def _stem(model: str) -> str:
    """`hf:owner/name@v1:onnx/model.onnx` is `name`, `hub:name@7` is `name`; a file is its name without the suffix."""
    match = _IN_HUB.match(model)
    return match[1] if match else Path(model).stem


def locate(
    model: str, options: Mapping[str, object], folder: Path, fetch: Fetch | None = None, *, hubs: bool = True
) -> Path:
    """The .onnx file that `model` means; a card is built into `folder`, an object or a hub's model fetched into it.

    hubs: whether public hubs may be asked.

    Raises:
        ZooError: no such card, file or object, or options that it does not have.
    """
    if is_card(model):
        try:
            card = get_card(model)
        except UnknownCard as error:
            raise UnknownCard(f"{error}; a file is named by a path ending in .onnx") from None
        return card.build(card.parse(options), folder)
    if options:
        raise SourceError(f"options: only models of the zoo have them, {model} is a file")
    if model.startswith(_HUBS):
        if not hubs:
            raise SourceError(f"model {model[:200]}: hubs are not read here; `fsd register` reads them")
        return _from_hub(model, folder)
    return _fetched(model, folder, fetch) if model.startswith("s3://") else _local(model)


def _from_hub(model: str, folder: Path) -> Path:
    if model.startswith("hub:"):
        from zoo.onnx_hub import fetch_from_hub

        return fetch_from_hub(model)
    from zoo.huggingface import fetch_from_hugging_face

    return fetch_from_hugging_face(model, folder)


def sample(model: str, options: Mapping[str, object], count: int) -> Arrays | None:
    """Inputs for `count` examples of a card; None for a file or an object, which brings none.

    Raises:
        ZooError: no such card, options that it does not have, or a count that it cannot give.
    """
    if not is_card(model):
        return None
    card = get_card(model)
    return card.inputs(card.parse(options), count)


def _local(model: str) -> Path:
    path = Path(model)
    if not path.is_file():
        raise SourceError(f"model {model}: no such file")
    return path


def _fetched(uri: str, folder: Path, fetch: Fetch | None) -> Path:
    match = _URI.fullmatch(uri)
    if match is None or fetch is None:
        raise SourceError(
            f"model {uri[:200]!r}: expected s3://bucket/key{'' if match is None else ' where S3 can be read'}"
        )
    path = folder / "model.onnx"
    fetch(match[1], match[2], path)
    return path
