"""Whether the topics of a stack are trusted to filter."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from channels.object import ObjectChannel
from channels.queue import QueueChannel
from channels.tags import Tag
from costs.meter import Meter
from engine.cache import ShardCache
from runs.service import Clients, Service
from runs.settings import Settings
from runs.start import StartMessage
from runs.wiring import filters_work, open_channel
from tests.runs.fakes import Clock, FakeClients, FakeS3

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


@pytest.mark.parametrize(("prefer", "hands_on"), [("usd", True), ("seconds", False)])
@pytest.mark.parametrize("channel", ["queue", "object", "hybrid"])
def test_ranks_hand_on_what_others_send_unless_time_counts_more(channel: str, prefer: str, hands_on: bool) -> None:
    clients = FakeClients(FakeS3(Clock()), None, None, None)
    service = Service(replace(SETTINGS, filter_delay_s=0), clients, Meter(), ShardCache(1))
    message = StartMessage("c" * 32, 1, 0, 7, 0, 2, "bundle", channel, prefer, time.time() + 20, "00" * 16)
    end = open_channel(service, StartMessage.from_json(message.to_json()))
    end.relay(Tag(3), 1, [0, 1])
    assert isinstance(end, QueueChannel | ObjectChannel)
    assert end._relays.by_tag == ({Tag(3): 1} if hands_on else {})
    end.close()
