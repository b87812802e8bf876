"""The event of `register`: fields and their types."""

from __future__ import annotations

import pytest

from runs.compile import CompileRequest
from runs.errors import BadRequest


def test_fields_are_those_of_the_command() -> None:
    event = {"model": "digits-mlp", "strategy": "row", "workers": 2, "precision": "fp16", "merge_rows": True}
    request = CompileRequest.from_json(event)
    assert (request.strategy, request.workers, request.precision, request.merge_rows) == ("row", 2, "fp16", True)
    assert not CompileRequest.from_json({"model": "digits-mlp"}).merge_rows


@pytest.mark.parametrize(
    "wrong", [{"merge_rows": 1}, {"merge_rows": "yes"}, {"workers": True}, {"workers": "2"}, {"a": 1}]
)
def test_another_type_or_name_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadRequest, match=next(iter(wrong))):
        CompileRequest.from_json({"model": "digits-mlp", **wrong})


def test_what_is_no_request_is_told_the_fields() -> None:
    with pytest.raises(BadRequest, match=r"expected a JSON object with model, and if wanted .*merge_rows"):
        CompileRequest.from_json(["digits-mlp"])
