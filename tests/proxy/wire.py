"""Reads AWS requests off the wire: which service and operation, and how many payload bytes.

Written from the wire formats alone and on purpose without a look at costs/, whose counts it checks.
"""

from __future__ import annotations

import base64
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

_SCOPE = re.compile(r"Credential=([^/]+)/\d{8}/[^/]+/([^/]+)/aws4_request")
_INVOKE = re.compile(r"^/\d{4}-\d\d-\d\d/functions/[^/]+/invocations/?$")
_VHOST = re.compile(r"^(?P<bucket>[^:]+?)\.(?:s3[.-][^:]*|localhost)(?::\d+)?$")
_S3_SUBRESOURCES = {
    "acl": "Acl",
    "cors": "Cors",
    "encryption": "Encryption",
    "lifecycle": "LifecycleConfiguration",
    "location": "Location",
    "notification": "NotificationConfiguration",
    "policy": "Policy",
    "publicAccessBlock": "PublicAccessBlock",
    "tagging": "Tagging",
    "versioning": "Versioning",
}
# SNS query keys that hold payload: Message, PublishBatchRequestEntries.member.1.Message, and each attribute's parts
# (MessageAttributes.entry.1.Name, .Value.DataType, .Value.StringValue, .Value.BinaryValue).
_SNS_PAYLOAD = re.compile(
    r"^(?:PublishBatchRequestEntries\.member\.\d+\.)?"
    r"(?:Message|MessageAttributes\.entry\.\d+\.(?:Name|Value\.(?:DataType|StringValue|(?P<binary>BinaryValue))))$"
)
# The same for SQS' older query protocol.
_SQS_PAYLOAD = re.compile(
    r"^(?:SendMessageBatchRequestEntry\.\d+\.)?"
    r"(?:MessageBody|MessageAttribute\.\d+\.(?:Name|Value\.(?:DataType|StringValue|(?P<binary>BinaryValue))))$"
)


@dataclass(frozen=True)
class Exchange:
    """One request and its answer, bodies complete; header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    status: int
    answer: bytes

    @property
    def path(self) -> str:
        """Path of the target, still quoted."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        """Query parameters of the target."""
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    @property
    def form(self) -> list[tuple[str, str]]:
        """Fields of a form-encoded body, in order; empty for every other body."""
        if "x-www-form-urlencoded" not in self.headers.get("content-type", ""):
            return []
        return parse_qsl(self.body.decode("utf-8"), keep_blank_values=True)

    @property
    def scope(self) -> tuple[str, str]:
        """Access key and service that the request was signed for; empty strings when it was not signed."""
        presigned = self.query.get("X-Amz-Credential", [""])[0]
        signed = self.headers.get("authorization", "") or f"Credential={presigned}"
        match = _SCOPE.search(signed)
        return (match[1], match[2]) if match else ("", "")


def operation_of(exchange: Exchange) -> str:
    """ "service:Operation" of a request; "service:METHOD /path" where the operation is not known."""
    service = _service_of(exchange)
    if service in ("sns", "sqs"):
        return f"{service}:{_action_of(exchange)}"
    if service == "lambda":
        return f"lambda:{_lambda_operation(exchange)}"
    if service in ("s3", "s3express"):
        return f"s3:{_s3_operation(exchange)}"
    return f"{service}:{exchange.method} {exchange.path}"


def payload_bytes(operation: str, exchange: Exchange) -> int:
    """Payload bytes of one exchange in either direction, by the rules of each service."""
    if operation == "lambda:Invoke":
        return len(exchange.body)
    if operation in ("s3:PutObject", "s3:UploadPart"):
        return int(exchange.headers.get("x-amz-decoded-content-length", len(exchange.body)))
    if operation == "s3:GetObject":
        return len(exchange.answer) if exchange.status in (200, 206) else 0
    if operation in ("sns:Publish", "sns:PublishBatch"):
        return _form_bytes(exchange, _SNS_PAYLOAD)
    if operation in ("sqs:SendMessage", "sqs:SendMessageBatch"):
        return _form_bytes(exchange, _SQS_PAYLOAD) if exchange.form else _sqs_json_sent(json.loads(exchange.body))
    if operation == "sqs:ReceiveMessage" and exchange.status == 200:
        return _received_bytes(exchange)
    return 0


def _service_of(exchange: Exchange) -> str:
    if _INVOKE.match(exchange.path):
        return "lambda"
    if exchange.headers.get("x-amz-target", "").startswith("AmazonSQS."):
        return "sqs"
    return exchange.scope[1] or ("s3" if not exchange.form else "unsigned")


def _action_of(exchange: Exchange) -> str:
    target = exchange.headers.get("x-amz-target")
    return target.partition(".")[2] if target else dict(exchange.form).get("Action", "unknown")


def _lambda_operation(exchange: Exchange) -> str:
    if exchange.method == "POST" and _INVOKE.match(exchange.path):
        return "Invoke"
    if exchange.path.rstrip("/").endswith("/account-settings"):
        return "GetAccountSettings"
    return f"{exchange.method} {exchange.path}"


def _s3_operation(exchange: Exchange) -> str:
    key = exchange.path.lstrip("/")
    if not _VHOST.match(exchange.headers.get("host", "")):
        bucket, _, key = key.partition("/")
        if not bucket:
            return "ListBuckets"
    return _object_operation(exchange) if key else _bucket_operation(exchange)


def _object_operation(exchange: Exchange) -> str:
    query, copied = exchange.query, "x-amz-copy-source" in exchange.headers
    multipart = {
        "DELETE": "AbortMultipartUpload",
        "GET": "ListParts",
        "POST": "CompleteMultipartUpload",
        "PUT": "UploadPartCopy" if copied else "UploadPart",
    }
    if "uploadId" in query:
        return multipart[exchange.method]
    if "uploads" in query:
        return "CreateMultipartUpload"
    return _subresource(exchange, "Object") or {"PUT": "CopyObject" if copied else "PutObject"}.get(
        exchange.method, f"{exchange.method.title()}Object"
    )


def _bucket_operation(exchange: Exchange) -> str:
    query = exchange.query
    if exchange.method == "GET" and "list-type" in query:
        return "ListObjectsV2"
    lists = {"versions": "ListObjectVersions", "uploads": "ListMultipartUploads"}
    listed = next((name for key, name in lists.items() if key in query), "")
    if listed or "delete" in query:
        return listed or "DeleteObjects"
    plain = {"GET": "ListObjects", "HEAD": "HeadBucket", "PUT": "CreateBucket", "DELETE": "DeleteBucket"}
    return _subresource(exchange, "Bucket") or plain.get(exchange.method, exchange.method)


def _subresource(exchange: Exchange, of: str) -> str:
    name = next((name for key, name in _S3_SUBRESOURCES.items() if key in exchange.query), "")
    return f"{exchange.method.title()}{of}{name}" if name else ""


def _form_bytes(exchange: Exchange, payload: re.Pattern[str]) -> int:
    matches = ((payload.match(key), value) for key, value in exchange.form)
    return sum(_value_bytes(value, match["binary"]) for match, value in matches if match)


def _value_bytes(value: str, binary: str | None) -> int:
    return len(base64.b64decode(value)) if binary else len(value.encode("utf-8"))


def _sqs_json_sent(body: dict[str, Any]) -> int:
    return sum(_json_message_bytes(message, "MessageBody") for message in body.get("Entries", [body]))


def _json_message_bytes(message: dict[str, Any], text: str) -> int:
    size = len(message[text].encode("utf-8"))
    for name, value in (message.get("MessageAttributes") or {}).items():
        size += len(name.encode("utf-8")) + len(value["DataType"].encode("utf-8"))
        size += len((value.get("StringValue") or "").encode("utf-8"))
        size += len(base64.b64decode(value.get("BinaryValue") or ""))
    return size


def _received_bytes(exchange: Exchange) -> int:
    if exchange.answer.lstrip().startswith(b"<"):
        return _xml_received_bytes(ET.fromstring(exchange.answer))
    messages = json.loads(exchange.answer).get("Messages") or []
    return sum(_json_message_bytes(message, "Body") for message in messages)


def _xml_received_bytes(root: ET.Element) -> int:
    size = 0
    for message in root.iterfind(".//{*}Message"):
        size += _xml_text_bytes(message, "{*}Body")
        for attribute in message.iterfind("{*}MessageAttribute"):
            parts = ("{*}Name", "{*}Value/{*}DataType", "{*}Value/{*}StringValue")
            size += sum(_xml_text_bytes(attribute, part) for part in parts)
            size += len(base64.b64decode(attribute.findtext("{*}Value/{*}BinaryValue") or ""))
    return size


def _xml_text_bytes(element: ET.Element, path: str) -> int:
    return len((element.findtext(path) or "").encode("utf-8"))
