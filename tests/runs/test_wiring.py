"""Whether the topics of a stack are trusted to filter."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from costs.meter import Meter
from engine.cache import ShardCache
from runs.service import Clients, Service
from runs.settings import Settings
from runs.wiring import filters_work

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


@pytest.mark.parametrize(("age_s", "trusted"), [(10, False), (890, False), (1000, True)])
def test_a_young_stacks_topics_are_not_trusted_to_filter(age_s: float, trusted: bool) -> None:
    queues = Queues(age_s)
    service = _service(queues)
    assert [filters_work(service) for _ in range(3)] == [trusted] * 3
    assert queues.asked == ["http://queue-lane-0-slot-0"]


def test_without_a_delay_nobody_asks() -> None:
    queues = Queues(0)
    assert filters_work(_service(queues, replace(SETTINGS, filter_delay_s=0)))
    assert queues.asked == []
