"""Counts every HTTP attempt of a botocore client, the SDK's own retries included, with its payload size.

Three events of botocore are used: `before-parameter-build` (once per call) keeps the call's parameters,
`request-created` (once per attempt) measures what is sent, `response-received` (once per attempt, also when it failed)
records the attempt. botocore itself is not imported: the caller hands in a session, a client, or a client's events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sized
from functools import partial
from typing import IO, Any, Protocol, cast

from costs.meter import Meter
from costs.prices import object_service
from costs.rules import NO_ANSWER, billed_units
from costs.sizes import RECEIVED, SENT, text_bytes

SERVICES = ("lambda", "s3", "sns", "sqs")
_PARAMS, _SENT = "costs_params", "costs_sent_bytes"
_BODY_IS_PAYLOAD = frozenset({"lambda:Invoke", "s3:PutObject", "s3:UploadPart", "s3express:PutObject"})
_Context = MutableMapping[str, Any]


_Answer = Mapping[str, Any]


class Request(Protocol):
    """The part of botocore's AWSRequest that the hook reads."""

    context: _Context
    headers: Mapping[str, str]
    data: object


class Events(Protocol):
    """The part of botocore's event emitters that the hook needs."""

    def register(self, event_name: str, handler: Callable[..., Any], unique_id: str) -> object:
        """Call `handler` at an event; a second registration of one unique_id does nothing."""


def attach(target: object, meter: Meter) -> None:
    """Count the calls of `target` in `meter` from now on; attaching twice counts once.

    target: a boto3 or botocore client, its `meta.events`, or a session: then all clients that it makes later, while
            clients made before stay uncounted.
    """
    events = _events_of(target)
    for service in SERVICES:
        _register(events, f"before-parameter-build.{service}", _keep_params, meter)
        _register(events, f"request-created.{service}", partial(_measure_request, service), meter)
        _register(events, f"response-received.{service}", partial(_record_attempt, service, meter), meter)


def _register(events: Events, name: str, handler: Callable[..., None], meter: Meter) -> None:
    events.register(name, handler, unique_id=f"costs.{id(meter)}.{name}")


def _events_of(target: object) -> Events:
    owner = getattr(target, "meta", target)
    return cast("Events", getattr(owner, "events", owner))


def _keep_params(params: object, context: _Context, **_: object) -> None:
    context[_PARAMS] = params


def _measure_request(service: str, request: Request, operation_name: str, **_: object) -> None:
    operation = f"{_billed_service(service, request.context)}:{operation_name}"
    request.context[_SENT] = _sent_bytes(operation, request)


def _billed_service(service: str, context: _Context) -> str:
    """S3 Express One Zone has its own prices, but not its own client."""
    return object_service(str(context.get(_PARAMS, {}).get("Bucket", ""))) if service == "s3" else service


def _sent_bytes(operation: str, request: Request) -> int:
    if operation in _BODY_IS_PAYLOAD:
        return _body_bytes(request)
    measure = SENT.get(operation)
    return measure(request.context.get(_PARAMS, {})) if measure else 0


def _body_bytes(request: Request) -> int:
    """Bytes of a request's body; a body in aws-chunked encoding says in a header how long it really is."""
    for header in ("X-Amz-Decoded-Content-Length", "Content-Length"):
        if header in request.headers:
            return int(request.headers[header])
    return _content_bytes(request.data)


def _content_bytes(body: object) -> int:
    if body is None or isinstance(body, str):
        return text_bytes(body or "")
    return len(body) if isinstance(body, Sized) else _remaining_bytes(cast("IO[bytes]", body))


def _remaining_bytes(stream: IO[bytes]) -> int:
    """Bytes between a stream's position and its end; 0 when it cannot seek, as then S3 refuses it without a length."""
    seekable = getattr(stream, "seekable", None)
    if seekable is None or not seekable():
        return 0
    position = stream.tell()
    end = stream.seek(0, 2)
    stream.seek(position)
    return end - position


def _record_attempt(
    service: str,
    meter: Meter,
    response_dict: _Answer | None,
    parsed_response: _Answer | None,
    context: _Context,
    event_name: str,
    **_: object,
) -> None:
    operation = f"{_billed_service(service, context)}:{event_name.rpartition('.')[2]}"
    payload = context.get(_SENT, 0) + _received_bytes(operation, response_dict, parsed_response)
    status = response_dict["status_code"] if response_dict else NO_ANSWER
    meter.record(operation, units=billed_units(operation, payload, status), bytes=payload)


def _received_bytes(operation: str, response: _Answer | None, parsed: _Answer | None) -> int:
    if not response or response["status_code"] >= 300:
        return 0
    if operation in ("s3:GetObject", "s3express:GetObject"):
        return int(response["headers"].get("content-length", 0))
    measure = RECEIVED.get(operation)
    return measure(parsed) if measure and parsed else 0
