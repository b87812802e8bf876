"""The function URL's requests and responses."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from handlers.web import is_web, web_request, web_response
from runs.errors import BadRequest


def post(body: str, *, encoded: bool = False, method: str = "POST") -> dict[str, Any]:
    """An event of a function URL."""
    http = {"method": method, "path": "/"}
    return {
        "version": "2.0",
        "rawPath": "/",
        "requestContext": {"http": http},
        "body": body,
        "isBase64Encoded": encoded,
    }


def test_an_invocation_is_no_web_request() -> None:
    assert not is_web({"model": "m", "inputs": {}})
    assert is_web(post("{}"))


@pytest.mark.parametrize("encoded", [False, True])
def test_the_body_is_the_request(encoded: bool) -> None:
    text = json.dumps({"model": "m"})
    body = base64.b64encode(text.encode()).decode() if encoded else text
    assert web_request(post(body, encoded=encoded)) == {"model": "m"}


@pytest.mark.parametrize("event", [post("{"), post("?", encoded=True), post("[" * 100_000), post("{}", method="GET")])
def test_what_is_no_request_is_refused_in_one_line(event: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as refusal:
        web_request(event)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"status": "done"}, 200),
        ({"status": "running"}, 202),
        ({"status": "failed", "error": {"type": "bad_request"}}, 400),
        ({"status": "failed", "error": {"type": "model_not_found"}}, 404),
        ({"status": "failed", "error": {"type": "no_free_lane"}}, 503),
        ({"status": "failed", "error": {"type": "worker_failed"}}, 500),
    ],
)
def test_the_response_says_how_the_run_ended(answer: dict[str, Any], status: int) -> None:
    response = web_response(answer)
    assert response["statusCode"] == status
    assert json.loads(response["body"]) == answer
