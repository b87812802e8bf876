"""The function URL's way in and out of `infer`: the request is the body of a POST, the answer that of the response."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from runs.errors import BadRequest, DeadlineExceeded, ModelNotFound, NoFreeLane, RunNotFound

# Errors that HTTP has a word for; what else fails is 500.
_STATUS = {
    BadRequest.code: 400,
    ModelNotFound.code: 404,
    RunNotFound.code: 404,
    NoFreeLane.code: 503,
    DeadlineExceeded.code: 504,
}


def is_web(event: Mapping[str, Any]) -> bool:
    """Whether an event came by the function URL (payload format 2.0), and not by an invocation."""
    return "requestContext" in event and "rawPath" in event


def web_request(event: Mapping[str, Any]) -> object:
    """The request in the body.

    Raises:
        BadRequest: no POST, or its body is no JSON.
    """
    method = event["requestContext"].get("http", {}).get("method")
    if method != "POST":
        raise BadRequest(f"request: expected POST, got {str(method)[:20]!r}")
    try:
        body = event.get("body", "")
        return json.loads(base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body)
    except (ValueError, RecursionError, binascii.Error) as error:
        raise BadRequest(f"request: expected a body of JSON, got {str(error)[:80]}") from None


def web_response(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The response that holds an answer: 200, 202 while the run goes on, or what its error means."""
    status = {"done": 200, "running": 202}.get(str(answer["status"]), 0)
    return {
        "statusCode": status or _STATUS.get(str(answer.get("error", {}).get("type")), 500),
        "headers": {"content-type": "application/json"},
        "body": json.dumps(answer),
    }
