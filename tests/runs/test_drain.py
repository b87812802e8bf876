"""What a killed process had received is deleted when it is visible again, and nothing else."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from channels.frame import Frame, Header, pack_frame, run_tag
from channels.parcel import pack_parcel
from channels.publish import DATA, NO_BODY, RELAYED_BODY
from channels.tags import HELLO, Tag
from channels.transport import Key, Outgoing
from costs.meter import Meter
from engine.cache import ShardCache
from runs.drain import AGAIN_S, drain_again, drain_lane, drain_later
from runs.lease import LaneTable, held_lanes
from runs.line import relay
from runs.service import Service
from tests.runs.fakes import SETTINGS, Clock, FakeCalls, FakeClients, FakeS3

RUN, OTHER = "ab" * 16, "cd" * 16


def frame_of(run_id: str, slot: int, body: str = NO_BODY) -> dict[str, Any]:
    """A message from slot 1 of a run with a frame for a slot."""
    header = Header(run_tag(run_id), 1, 1, Tag(HELLO), 1, slot, 0, 1, 0)
    parcel = pack_parcel([Outgoing(Key(1, slot, Tag(HELLO)), pack_frame(Frame(header, b""), b"k" * 32))])
    return {"Body": body, "MessageAttributes": {DATA: {"BinaryValue": parcel}}}


def notice_of(run_id: str) -> dict[str, Any]:
    """Lambda's word that slot 1 of a run is dead."""
    start = {"run_id": run_id, "attempt": 1, "slot": 1}
    return {"Body": json.dumps({"requestPayload": start, "responsePayload": {"errorType": "E", "errorMessage": "m"}})}


class Queues(FakeCalls):
    """SQS: in slot 0 two messages of RUN and one of another run, in slot 1 what is nobody's, in slot 2 nothing."""

    def __init__(self) -> None:
        super().__init__()
        found = {0: [frame_of(RUN, 0), notice_of(RUN), notice_of(OTHER)], 1: [{"Body": "?"}], 2: []}
        self.held = {
            SETTINGS.queue_url(0, slot): [{**one, "ReceiptHandle": f"{slot}-{n}"} for n, one in enumerate(messages)]
            for slot, messages in found.items()
        }
        self.given_back: list[str] = []

    def receive_message(self, QueueUrl: str, **_: object) -> dict[str, Any]:
        return {"Messages": list(self.held.setdefault(QueueUrl, []))}

    def delete_message_batch(self, QueueUrl: str, Entries: list[dict[str, str]]) -> dict[str, Any]:
        gone = {entry["ReceiptHandle"] for entry in Entries}
        self.held[QueueUrl] = [one for one in self.held[QueueUrl] if one["ReceiptHandle"] not in gone]
        return {}

    def change_message_visibility(self, ReceiptHandle: str, VisibilityTimeout: int, **_: object) -> None:
        assert VisibilityTimeout == 0
        self.given_back.append(ReceiptHandle)

    def left(self) -> list[str]:
        """Receipts of what is there."""
        return [one["ReceiptHandle"] for messages in self.held.values() for one in messages]


@pytest.fixture
def queues() -> Queues:
    """SQS and Lambda."""
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


def test_who_holds_a_lane_deletes_whatever_is_there(service: Service, queues: Queues) -> None:
    drain_lane(service, 0, 3)
    assert queues.left() == []
    assert queues.given_back == []


def test_the_queue_that_calls_has_the_runs_messages_deleted_and_others_given_back(
    service: Service, queues: Queues
) -> None:
    word = _word(service, queues)
    assert relay(service, {"Records": [{"body": json.dumps(word)}]}) == [RUN]
    assert queues.left() == ["0-2", "1-0"]
    assert sorted(queues.given_back) == ["0-2", "1-0"]
    assert held_lanes(service.objects, SETTINGS.lanes) == []
    assert queues.queued == []
    assert queues.invoked == []


def test_what_was_to_be_handed_on_is_the_runs_though_nothing_of_it_is_for_the_slot(
    service: Service, queues: Queues
) -> None:
    found = [frame_of(run_id, 2, RELAYED_BODY) for run_id in (RUN, OTHER)] + [frame_of(RUN, 2)]
    url = SETTINGS.queue_url(0, 1)
    queues.held[url] = [{**one, "ReceiptHandle": f"1-{n}"} for n, one in enumerate(found)]
    drain_again(service, _word(service, queues))
    assert [one["ReceiptHandle"] for one in queues.held[url]] == ["1-1", "1-2"]
    assert sorted(queues.given_back) == ["0-2", "1-1", "1-2"]


def test_a_lane_in_use_is_left_alone_and_looked_at_again_a_limited_number_of_times(
    service: Service, queues: Queues
) -> None:
    LaneTable(service.objects, 1).acquire("another", 60.0, 0.0)
    word, before = _word(service, queues), queues.left()
    drain_again(service, word)
    (again,) = queues.queued
    assert again == {"body": {**word, "tries": word["tries"] - 1}, "delay_s": AGAIN_S}
    queues.queued.clear()
    drain_again(service, {**word, "tries": 1})
    assert queues.queued == []
    assert queues.left() == before


def test_a_lane_that_was_returned_or_whose_lease_ran_out_is_not_in_use(service: Service) -> None:
    lanes = LaneTable(service.objects, 1)
    assert not lanes.is_held(0)
    lease = lanes.acquire("another", 60.0, 0.0)
    assert lanes.is_held(0)
    lanes.release(lease)
    assert not lanes.is_held(0)
    lanes.acquire("another", -1.0, 0.0)
    assert not lanes.is_held(0)


def test_what_names_no_lane_is_refused(service: Service, queues: Queues) -> None:
    with pytest.raises(ValueError, match="lane: expected 0 to 0, got 7"):
        drain_again(service, _word(service, queues, lane=7))


def test_no_more_queues_are_looked_at_than_a_lane_has(service: Service, queues: Queues) -> None:
    drain_again(service, _word(service, queues, slots=10_000))
    assert len(queues.held) == SETTINGS.ranks


def test_a_service_that_refuses_does_not_cost_the_answer(
    service: Service, queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": "Throttled", "Message": ""}}, "SendMessage")

    monkeypatch.setattr(queues, "send_message", refuse)
    drain_later(service, RUN, 0, 3)
