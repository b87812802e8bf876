"""Payload bytes of SNS and SQS calls: message bodies, and attribute names, types and values, as sent.

Binary values count their raw bytes, not their base64. Message system attributes and an SNS subject are left out: the
first do not count towards a message's size, the second is not used here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Params = Mapping[str, Any]


def text_bytes(value: str | bytes | bytearray) -> int:
    """Length of a value in bytes; text as UTF-8."""
    if isinstance(value, str) and not value.isascii():
        return len(value.encode("utf-8", "surrogatepass"))
    return len(value)


def attributes_bytes(attributes: Mapping[str, Params]) -> int:
    """Names, types and values of message attributes, in bytes."""
    return sum(text_bytes(name) + _attribute_bytes(attribute) for name, attribute in attributes.items())


def _attribute_bytes(attribute: Params) -> int:
    return sum(text_bytes(attribute.get(part, "")) for part in ("DataType", "StringValue", "BinaryValue"))


def message_bytes(message: Params, body: str) -> int:
    """Bytes of one message whose text is under the key `body`."""
    return text_bytes(message.get(body, "")) + attributes_bytes(message.get("MessageAttributes", {}))


def _messages_bytes(messages: Iterable[Params], body: str) -> int:
    return sum(message_bytes(message, body) for message in messages)


SENT: Mapping[str, Callable[[Params], int]] = {
    "sns:Publish": lambda params: message_bytes(params, "Message"),
    "sns:PublishBatch": lambda params: _messages_bytes(params.get("PublishBatchRequestEntries", ()), "Message"),
    "sqs:SendMessage": lambda params: message_bytes(params, "MessageBody"),
    "sqs:SendMessageBatch": lambda params: _messages_bytes(params.get("Entries", ()), "MessageBody"),
}
"""Payload bytes of a request, from its API parameters."""

RECEIVED: Mapping[str, Callable[[Params], int]] = {
    "sqs:ReceiveMessage": lambda answer: _messages_bytes(answer.get("Messages", ()), "Body"),
}
"""Payload bytes of an answer, from its parsed form."""
