"""A stage in this process whose channels are the real ones, over queues and objects in memory."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

from bench.services import Lane, MemorySns, MemorySqs
from costs.meter import Meter
from tests.chaos.memory_stage import SETTINGS, MemoryStage
from tests.runs.fakes import FakeClients

TWELVE = replace(SETTINGS, ranks=12)


class Queues(MemorySqs):
    """A lane's queues; what was received comes back when it is released. All else that is sent goes nowhere."""

    def __init__(self, lane: Lane) -> None:
        super().__init__(lane, Meter())
        self.lane = lane
        self.bodies: set[str] = set()
        self._hidden: dict[str, tuple[str, Any]] = {}
        self._change = Lock()

    def send_message(self, **params: Any) -> dict[str, Any]:
        self.bodies.add(params["MessageBody"])
        return super().send_message(**params) if params["QueueUrl"] in self.lane.urls else {}

    def receive_message(self, **params: Any) -> dict[str, Any]:
        answer = super().receive_message(**params)
        with self._change:
            for message in answer.get("Messages", []):
                self._hidden[message["ReceiptHandle"]] = (params["QueueUrl"], message)
        return answer

    def change_message_visibility(self, ReceiptHandle: str, **_: object) -> None:
        with self._change:
            url, message = self._hidden.pop(ReceiptHandle)
        self.lane.put(url, message["Body"], message.get("MessageAttributes", {}))


class LaneStage(MemoryStage):
    """One lane of twelve slots."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, settings=TWELVE)
        lane = Lane(tuple(TWELVE.queue_url(0, slot) for slot in range(TWELVE.ranks)))
        self.queues, self.topic = Queues(lane), MemorySns(lane, Meter())

    def clients(self) -> FakeClients:
        """S3, SNS, SQS and Lambda."""
        return FakeClients(self.s3, self.topic, self.queues, self)

    def tell_rank_0(self, start: dict[str, Any], error: BaseException) -> None:
        """Lambda's notice of a worker that did not end well."""
        failure = {"errorType": type(error).__name__, "errorMessage": str(error)}
        notice = json.dumps({"requestPayload": start, "responsePayload": failure})
        self.queues.lane.put(TWELVE.queue_url(0, 0), notice, {})

    def messages_left(self) -> int:
        """How many messages nobody has received; they are gone then."""
        lane = self.queues.lane
        return sum(len(lane.take(url, 1 << 20, 0)) for url in lane.urls)
