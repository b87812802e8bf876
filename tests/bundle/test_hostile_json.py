"""Whatever stands in a manifest, a record or a program, reading it ends in a value or in the package's own error."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundle.errors import CorruptBundleError
from bundle.fields import FieldError, parse_json
from bundle.manifest import Manifest
from engine.codec import program_from_json, program_to_json
from engine.errors import ProgramError
from engine.program import Exchange, Free, Program, Run
from tests.bundle.samples import make_sample

_LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=4), st.just(10**30)
)
_VALUES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)


def _places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Paths to everything inside a JSON value."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, child in children for place in [(*path, key), *_places(child, (*path, key))]]


def _check_message(error: Exception) -> None:
    assert "\n" not in str(error)


def _replace(document: Any, path: tuple[str | int, ...], value: Any) -> str:
    target = document
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return json.dumps(document)


@settings(max_examples=200, deadline=None)
@given(st.data(), _VALUES)
def test_manifest_with_anything_anywhere_is_read_or_refused(data: st.DataObject, value: Any) -> None:
    document = json.loads(make_sample().manifest.to_json())
    text = _replace(document, data.draw(st.sampled_from(_places(document))), value)
    try:
        manifest = Manifest.from_json(text)
    except CorruptBundleError as error:
        _check_message(error)
    else:
        assert Manifest.from_json(manifest.to_json()) == manifest


@settings(max_examples=200, deadline=None)
@given(st.data(), _VALUES)
def test_program_with_anything_anywhere_is_read_or_refused(data: st.DataObject, value: Any) -> None:
    steps = (
        Run(0, "onnx", ("x",), ("y",), graph="g", weights=("w",), attributes={"a": 1.5, "b": (1, 2)}, layer="l"),
        Exchange(1, "rows", "y", "z", (0, 1), axis=1, reduce="sum", maps="m", rows=3),
        Free(2, ("x",)),
    )
    document = json.loads(program_to_json(Program(0, 2, steps)))
    text = _replace(document, data.draw(st.sampled_from(_places(document))), value)
    try:
        program = program_from_json(text)
    except ProgramError as error:
        _check_message(error)
    else:
        assert program_from_json(program_to_json(program)) == program


def test_document_beyond_the_limit_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(FieldError, match="expected at most 10 bytes of JSON, got 12"):
        parse_json('{"a": [[[[[[', "x", max_bytes=10)
