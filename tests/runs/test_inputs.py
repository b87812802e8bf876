"""Inputs on S3: from allowed places, and no larger than a request may be."""

from __future__ import annotations

import time
from typing import Any

import pytest

from runs import inputs
from runs.errors import BadRequest
from runs.inputs import fetch_inputs
from runs.request import parse_request
from runs.service import Service
from tests.runs.fakes import Clock, FakeCalls, FakeS3, fake_service


def service() -> Service:
    """A stage whose bucket holds an object of ten bytes."""
    s3 = FakeS3(Clock(time.time()))
    s3.put_object("runs/r/x.npz", bytes(10))
    s3.put_object("lanes/0.json", bytes(10))
    return fake_service(s3, FakeCalls())


def fetch(here: Service, uri: str) -> Any:
    return fetch_inputs(here, parse_request({"model": "m", "inputs_uri": uri}))


def test_an_object_of_a_run_is_fetched() -> None:
    here = service()
    assert fetch(here, f"s3://{here.settings.bucket}/runs/r/x.npz") == bytes(10)


@pytest.mark.parametrize("uri", ["s3://other/runs/r/x.npz", "s3://{bucket}/lanes/0.json", "s3://{bucket}/runs/r/none"])
def test_what_is_not_there_or_not_allowed_is_refused(uri: str) -> None:
    here = service()
    with pytest.raises(BadRequest, match="inputs_uri"):
        fetch(here, uri.format(bucket=here.settings.bucket))


def test_an_object_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    here = service()
    monkeypatch.setattr(inputs, "MAX_INPUT_BYTES", 9)
    with pytest.raises(BadRequest, match="expected at most 9 bytes, got 10"):
        fetch(here, f"s3://{here.settings.bucket}/runs/r/x.npz")
