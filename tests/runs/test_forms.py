"""SNS forms have the same bytes as botocore's own, on the wire too."""

from __future__ import annotations

import base64
import random
from typing import Any
from urllib.parse import urlencode

import boto3
import pytest

from runs.forms import form_bytes, send_forms_as_bytes

FIELDS = {
    "Action": "Publish",
    "TopicArn": "arn:aws:sns:us-east-1:000000000000:a_topic-1.~x",
    "Message": "ä ö + / = & % \x00 \U0001f600 line\nline + %41",
    "MessageAttributes.entry.1.Value.BinaryValue": base64.b64encode(random.Random(1).randbytes(5000)).decode(),
    "Number": 7,
    "Empty": "",
}


def test_a_form_has_the_bytes_that_botocore_makes_of_it() -> None:
    assert form_bytes(FIELDS) == urlencode(FIELDS).encode()


@pytest.mark.parametrize("operation", ["publish", "publish_batch"])
def test_a_request_is_the_same_on_the_wire_with_and_without(operation: str) -> None:
    attributes = {"d": {"DataType": "Binary", "BinaryValue": b"\xff\x00+/=" * 100}}
    message = {"Message": "a b&c", "MessageAttributes": attributes}
    calls: dict[str, Any] = {
        "publish": {"TopicArn": "arn:aws:sns:us-east-1:1:t", **message},
        "publish_batch": {
            "TopicArn": "arn:aws:sns:us-east-1:1:t",
            "PublishBatchRequestEntries": [{"Id": "0", **message}],
        },
    }
    plain, changed = (_sent(operation, calls[operation], change) for change in (False, True))
    assert changed.body == plain.body.encode()
    for name in ("Content-Type", "Content-Length"):
        assert changed.headers[name] == plain.headers[name]


def _sent(operation: str, params: dict[str, Any], change: bool) -> Any:
    """The request that a client would send; `before-send` answers in the service's place."""
    client = boto3.client(
        "sns",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        endpoint_url="http://127.0.0.1:9",
    )
    if change:
        send_forms_as_bytes(client)
    seen: list[Any] = []

    def answer(request: Any, **_: object) -> None:
        seen.append(request)
        raise InterruptedError

    client.meta.events.register("before-send", answer)
    with pytest.raises(InterruptedError):
        getattr(client, operation)(**params)
    return seen[0]
