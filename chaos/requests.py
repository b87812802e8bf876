"""Faults of AWS itself, put between a client of the SDK and the network: its retries are the real ones."""

from __future__ import annotations

import json
from typing import Any

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ConnectionClosedError

from chaos.faults import Fault
from chaos.injector import Injector
from runs.wire import Body

# Calls whose answer may be lost without anything being lost with it: a conditional write, a publication.
_REPEATABLE = ("s3.PutObject", "sns.PublishBatch", "sns.Publish")
_STARTS = "lambda.Invoke"


class RequestFaults:
    """Stands before the network of an environment's clients; `injector` is that of the invocation under way."""

    def __init__(self) -> None:
        self.injector: Injector | None = None
        self.attempt = 1
        self.slot = 0
        self._requests = 0

    def begin(self, injector: Injector, attempt: int, slot: int) -> None:
        """Count requests from 0: an invocation begins."""
        self.injector, self.attempt, self.slot, self._requests = injector, attempt, slot, 0

    def attach(self, client: Any) -> None:
        """Meet every request of a client."""
        service = client.meta.service_model.service_name

        def meet(request: AWSPreparedRequest, event_name: str, **_: object) -> AWSResponse | None:
            return self._meet(client, f"{service}.{event_name.rsplit('.', 1)[1]}", request)

        client.meta.events.register(f"before-send.{service}", meet)

    def _meet(self, client: Any, operation: str, request: AWSPreparedRequest) -> AWSResponse | None:
        if self.injector is None:
            return None
        if operation == _STARTS:
            return self._start(client, request)
        at, self._requests = self._requests, self._requests + 1
        answers = [
            _apply(fault, client, operation, request)
            for fault in self.injector.due(
                "request", self.attempt, self.slot, at, () if operation in _REPEATABLE else ("lost_answer",)
            )
        ]
        return next((answer for answer in answers if answer is not None), None)

    def _start(self, client: Any, request: AWSPreparedRequest) -> AWSResponse | None:
        start = json.loads(_bytes(request.body))
        if self.injector is None or "slot" not in start:
            return None
        for fault in self.injector.due("start", start["attempt"], start["slot"], 0):
            if fault.kind == "duplicate_start":
                _send(client, request)
                return None
            if fault.kind == "throttled_start":
                return _answer(
                    request, 429, b'{"Reason":"ConcurrentInvocationLimitExceeded","Type":"User"}', _THROTTLED
                )
            return _answer(request, 202, b"", {})
        return None


_THROTTLED = {"x-amzn-errortype": "TooManyRequestsException", "content-type": "application/json"}
_THROTTLES = {
    "s3": (503, "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"),
    "sns": (400, "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code></Error></ErrorResponse>"),
    "sqs": (400, '{"__type": "com.amazonaws.sqs#RequestThrottled", "message": "Rate exceeded"}'),
}


def _bytes(body: object) -> bytes:
    return body if isinstance(body, bytes) else b"{}"


def _apply(fault: Fault, client: Any, operation: str, request: AWSPreparedRequest) -> AWSResponse | None:
    if fault.kind == "throttle" and (service := operation.split(".")[0]) in _THROTTLES:
        status, body = _THROTTLES[service]
        return _answer(request, status, body.encode(), {})
    if fault.kind in ("throttle", "server_error"):
        return _answer(request, 503, b"", {})
    if fault.kind == "lost_answer":
        _send(client, request)
    raise ConnectionClosedError(endpoint_url=request.url)


def _send(client: Any, request: AWSPreparedRequest) -> None:
    response = client._endpoint.http_session.send(request.copy() if hasattr(request, "copy") else request)
    response.content  # noqa: B018 - reads it to its end, so that the connection is free again


def _answer(request: AWSPreparedRequest, status: int, body: bytes, headers: dict[str, str]) -> AWSResponse:
    return AWSResponse(request.url, status, HTTPHeaders.from_dict(headers), Body(body))
