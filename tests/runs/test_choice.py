"""Which channel a run takes where a lane's queues cannot carry it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from costs.meter import Meter
from engine.cache import ShardCache
from runs.service import Clients, Service
from runs.settings import Settings
from runs.wiring import choose_channel

SETTINGS = Settings("s", "b", 1, 16, "arn:topic", "http://queue", "infer", "worker", filter_delay_s=900)


@dataclass
class Queues:
    """SQS as far as a queue's age goes."""

    age_s: float
    asked: list[str] = field(default_factory=list)

    def get_queue_attributes(self, QueueUrl: str, AttributeNames: list[str]) -> dict[str, Any]:
        self.asked.append(QueueUrl)
        assert AttributeNames == ["CreatedTimestamp"]
        return {"Attributes": {"CreatedTimestamp": str(int(time.time() - self.age_s))}}


def _service(queues: Queues, settings: Settings = SETTINGS) -> Service:
    clients = cast(Clients, type("C", (), {"sqs": queues}))
    return Service(settings, clients, Meter(), ShardCache(1))


@pytest.mark.parametrize(("age_s", "channel"), [(10, "object"), (890, "object"), (1000, "queue")])
def test_a_young_stacks_queues_are_not_trusted_to_filter(age_s: float, channel: str) -> None:
    queues = Queues(age_s)
    service = _service(queues)
    assert [choose_channel(service, "queue", 4) for _ in range(3)] == [channel] * 3
    assert queues.asked == ["http://queue-lane-0-slot-0"]


def test_without_a_delay_nobody_asks() -> None:
    queues = Queues(0)
    assert choose_channel(_service(queues, replace(SETTINGS, filter_delay_s=0)), "queue", 16) == "queue"
    assert queues.asked == []


def test_more_ranks_than_queues_go_by_object() -> None:
    assert choose_channel(_service(Queues(5000)), "queue", 17) == "object"


def test_object_stays_object() -> None:
    assert choose_channel(_service(Queues(5000)), "object", 2) == "object"
