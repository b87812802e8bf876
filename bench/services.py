"""SNS, SQS and S3 in this process: what the real channel classes are run over where a cloud would be too small.

Each stands where a boto3 client does, with the few operations that channels use, and counts a call as the hook on real
clients does: by `costs.sizes` and `costs.rules`, with the same parameters. Nothing fails, is lost or comes twice.
"""

from __future__ import annotations

import io
import json
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from threading import Condition, Lock
from typing import Any

from botocore.exceptions import ClientError

from channels.publish import SLOT
from costs import Meter, billed_units
from costs.sizes import RECEIVED, SENT

# From a call to SQS's looking for messages: half of the 20 ms that a receive takes inside a region.
RECEIVE_S = 0.01

Params = Mapping[str, Any]
Answer = dict[str, Any]
OK, NOT_FOUND = 200, 404


@dataclass
class _Queue:
    """Messages that wait: (receipt, body, attributes)."""

    messages: deque[tuple[str, str, Params]] = field(default_factory=deque)
    arrived: Condition = field(default_factory=Condition)


@dataclass
class Lane:
    """A topic and its queues, by URL; a message goes to the queues whose slot its attributes name."""

    urls: tuple[str, ...]
    _queues: dict[str, _Queue] = field(init=False)
    _receipts: Iterator[int] = field(init=False)
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        """One empty queue per URL."""
        self._queues = {url: _Queue() for url in self.urls}
        self._receipts = iter(range(1 << 62))

    def publish(self, body: str, attributes: Params) -> None:
        """Hand a message to every queue that its attributes select."""
        for slot in _slots(attributes[SLOT]):
            self.put(self.urls[slot], body, attributes)

    def put(self, url: str, body: str, attributes: Params) -> None:
        """Leave a message in a queue."""
        with self._lock:
            receipt = str(next(self._receipts))
        queue = self._queues[url]
        with queue.arrived:
            queue.messages.append((receipt, body, attributes))
            queue.arrived.notify()

    def take(self, url: str, most: int, wait_s: float) -> list[tuple[str, str, Params]]:
        """What is there, as soon as anything is; nothing after `wait_s`."""
        queue = self._queues[url]
        with queue.arrived:
            queue.arrived.wait_for(lambda: queue.messages, wait_s)
            return [queue.messages.popleft() for _ in range(min(most, len(queue.messages)))]


def _slots(attribute: Params) -> list[int]:
    """The slots that one attribute names: a number, or a JSON array of them."""
    value = json.loads(attribute["StringValue"])
    return [int(slot) for slot in value] if isinstance(value, list) else [int(value)]


class MemorySns:
    """The topic of a lane."""

    def __init__(self, lane: Lane, meter: Meter) -> None:
        self._lane = lane
        self._meter = meter

    def publish(self, **params: Any) -> Answer:
        """Publish a message."""
        _count(self._meter, "sns:Publish", params)
        self._lane.publish(params["Message"], params["MessageAttributes"])
        return {"MessageId": "1"}

    def publish_batch(self, **params: Any) -> Answer:
        """Publish up to ten messages."""
        _count(self._meter, "sns:PublishBatch", params)
        for entry in params["PublishBatchRequestEntries"]:
            self._lane.publish(entry["Message"], entry["MessageAttributes"])
        return {"Successful": [{"Id": entry["Id"]} for entry in params["PublishBatchRequestEntries"]]}


class MemorySqs:
    """The queues of a lane."""

    def __init__(self, lane: Lane, meter: Meter) -> None:
        self._lane = lane
        self._meter = meter

    def send_message(self, **params: Any) -> Answer:
        """Send a message to one queue."""
        _count(self._meter, "sqs:SendMessage", params)
        self._lane.put(params["QueueUrl"], params["MessageBody"], params.get("MessageAttributes", {}))
        return {"MessageId": "1"}

    def send_message_batch(self, **params: Any) -> Answer:
        """Send up to ten messages to one queue."""
        _count(self._meter, "sqs:SendMessageBatch", params)
        for entry in params["Entries"]:
            self._lane.put(params["QueueUrl"], entry["MessageBody"], entry.get("MessageAttributes", {}))
        return {"Successful": [{"Id": entry["Id"]} for entry in params["Entries"]]}

    def receive_message(self, **params: Any) -> Answer:
        """Up to ten messages, as soon as there are any when the call has got there."""
        time.sleep(RECEIVE_S)
        taken = self._lane.take(
            params["QueueUrl"], params.get("MaxNumberOfMessages", 1), params.get("WaitTimeSeconds", 0)
        )
        wanted = params.get("MessageAttributeNames")
        messages = [
            {"ReceiptHandle": receipt, "Body": body, **({"MessageAttributes": attributes} if wanted else {})}
            for receipt, body, attributes in taken
        ]
        answer: Answer = {"Messages": messages} if messages else {}
        _count(self._meter, "sqs:ReceiveMessage", params, answer)
        return answer

    def delete_message_batch(self, **params: Any) -> Answer:
        """Forget up to ten messages; they are gone since they were received."""
        _count(self._meter, "sqs:DeleteMessageBatch", params)
        return {"Successful": [{"Id": entry["Id"]} for entry in params["Entries"]]}


class MemoryS3:
    """A bucket."""

    def __init__(self, objects: dict[str, bytes], meter: Meter) -> None:
        self._objects = objects
        self._meter = meter

    def put_object(self, **params: Any) -> Answer:
        """Write one object."""
        self._objects[params["Key"]] = bytes(params["Body"])
        self._record("s3:PutObject", len(self._objects[params["Key"]]))
        return {}

    def get_object(self, **params: Any) -> Answer:
        """Read an object, or a range of it.

        Raises:
            ClientError: there is none of that name; that is a call, too.
        """
        data = self._objects.get(params["Key"])
        if data is None:
            self._record("s3:GetObject", 0, NOT_FOUND)
            raise ClientError({"Error": {"Code": "NoSuchKey", "Message": params["Key"]}}, "GetObject")
        part = _ranged(data, params.get("Range", ""))
        self._record("s3:GetObject", len(part))
        return {
            "Body": io.BytesIO(part),
            "ContentLength": len(part),
            "ContentRange": f"bytes 0-{len(part) - 1}/{len(data)}",
        }

    def delete_objects(self, **params: Any) -> Answer:
        """Remove objects."""
        self._record("s3:DeleteObjects", 0)
        for entry in params["Delete"]["Objects"]:
            self._objects.pop(entry["Key"], None)
        return {}

    def get_paginator(self, _operation: str) -> _Pages:
        """Listing in pages of a thousand names."""
        return _Pages(self._objects, self._meter)

    def _record(self, operation: str, size: int, status: int = OK) -> None:
        self._meter.record(operation, units=billed_units(operation, size, status), bytes=size)


@dataclass(frozen=True)
class _Pages:
    """The paginator of list_objects_v2."""

    objects: Mapping[str, bytes]
    meter: Meter
    page: int = 1000

    def paginate(self, **params: Any) -> Iterator[Answer]:
        """Every page of names under a prefix, each one a call."""
        names = sorted(name for name in list(self.objects) if name.startswith(params["Prefix"]))
        for start in range(0, max(1, len(names)), self.page):
            self.meter.record("s3:ListObjectsV2", units=1)
            yield {"Contents": [{"Key": name} for name in names[start : start + self.page]]}


def _ranged(data: bytes, wanted: str) -> bytes:
    """The bytes of an HTTP range, `bytes=first-last`; all of them without one."""
    if not wanted:
        return data
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    return data[int(first) : int(last) + 1 if last else None] if first else data[-int(last) :]


def _count(meter: Meter, operation: str, params: Params, answer: Params | None = None) -> None:
    size = SENT[operation](params) if operation in SENT else 0
    size += RECEIVED[operation](answer) if answer and operation in RECEIVED else 0
    meter.record(operation, units=billed_units(operation, size, OK), bytes=size)
