"""A lane that a killed process left messages in is emptied again when they are visible again."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from costs.meter import Meter
from engine.cache import ShardCache
from runs.drain import AGAIN_S, drain_again, drain_later
from runs.lease import LaneTable, held_lanes
from runs.line import relay
from runs.service import Service
from tests.runs.fakes import SETTINGS, Clock, FakeCalls, FakeClients, FakeS3

RUN = "ab" * 16


class Queues(FakeCalls):
    """Two messages in every slot's queue."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[str, int] = {}

    def receive_message(self, QueueUrl: str, **_: object) -> dict[str, Any]:
        return {"Messages": [{"ReceiptHandle": "r"}] * self.held.setdefault(QueueUrl, 2)}

    def delete_message_batch(self, QueueUrl: str, Entries: list[Any]) -> dict[str, Any]:
        self.held[QueueUrl] -= len(Entries)
        return {}


@pytest.fixture
def queues() -> Queues:
    """SQS."""
    return Queues()


@pytest.fixture
def service(queues: Queues) -> Service:
    """A stage with one lane."""
    clients = FakeClients(FakeS3(Clock(1_000.0)), None, queues, queues)
    return Service(SETTINGS, cast(Any, clients), Meter(), ShardCache(1 << 20))


def _word(service: Service, queues: Queues, **changes: Any) -> dict[str, Any]:
    drain_later(service, RUN, 0, 3)
    (sent,) = queues.queued
    assert sent["delay_s"] == AGAIN_S
    queues.queued.clear()
    return {**sent["body"], **changes}


def test_the_queue_that_calls_has_a_free_lane_emptied_and_returned(service: Service, queues: Queues) -> None:
    word = _word(service, queues)
    assert relay(service, {"Records": [{"body": json.dumps(word)}]}) == [RUN]
    assert queues.held == {SETTINGS.queue_url(0, slot): 0 for slot in range(3)}
    assert held_lanes(service.objects, SETTINGS.lanes) == []
    assert queues.queued == []
    assert queues.invoked == []


def test_a_lane_in_use_is_left_alone_and_looked_at_again_a_limited_number_of_times(
    service: Service, queues: Queues
) -> None:
    lease = LaneTable(service.objects, 1).acquire("another", 60.0, 0.0)
    word = _word(service, queues)
    drain_again(service, word)
    (again,) = queues.queued
    assert again == {"body": {**word, "tries": word["tries"] - 1}, "delay_s": AGAIN_S}
    queues.queued.clear()
    drain_again(service, {**word, "tries": 1})
    assert queues.queued == []
    assert queues.held == {}
    assert held_lanes(service.objects, 1)[0].epoch == lease.epoch


def test_what_names_no_lane_is_refused(service: Service, queues: Queues) -> None:
    with pytest.raises(ValueError, match="lane: expected 0 to 0, got 7"):
        drain_again(service, _word(service, queues, lane=7))


def test_no_more_queues_are_emptied_than_a_lane_has(service: Service, queues: Queues) -> None:
    drain_again(service, _word(service, queues, slots=10_000))
    assert len(queues.held) == SETTINGS.ranks


def test_a_service_that_refuses_does_not_cost_the_answer(
    service: Service, queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": "Throttled", "Message": ""}}, "SendMessage")

    monkeypatch.setattr(queues, "send_message", refuse)
    drain_later(service, RUN, 0, 3)
