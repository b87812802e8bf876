"""What is particular to the queue channel: packing, partial failures, what is on the wire, what is left behind."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote_plus

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels import receive
from channels.background import Background
from channels.config import ChannelConfig
from channels.errors import ConfigError, TransportError
from channels.publish import plan_requests
from channels.queue import QueueChannel, QueueSettings
from channels.receive import Polling, QueueReceiver
from channels.retry import Backoff, Failure, send_in_parts
from channels.tags import Tag
from channels.text import from_text, to_text
from channels.topic import Lane, LaneSender
from channels.transport import Incoming, Key, Outgoing
from costs.limits import SNS_BATCH, SNS_PAYLOAD, SQS_BILLING_CHUNK
from tests.channels.conftest import Clients, frames_for

if TYPE_CHECKING:
    from types_boto3_sns.client import SNSClient
    from types_boto3_sqs.client import SQSClient

pytestmark = pytest.mark.timeout(60)
KEY = b"0123456789abcdef"
LANE = Lane("arn", ("url",))
NO_SQS = cast("SQSClient", None)


def config(slot: int, epoch: int, slots: int = 2) -> ChannelConfig:
    """Identify a slot of a run that lives for 20 s; epochs here are above those of the contract suite."""
    return ChannelConfig("cd" * 16, 0, (1 << 40) + epoch, slot, slots, KEY, time.monotonic() + 20, poll_s=0.05)


def frames(*sizes: int) -> list[Outgoing]:
    """Make a frame of each of these sizes, each for a slot of its own."""
    return [Outgoing(Key(0, slot, Tag(0)), bytes([slot % 251]) * size) for slot, size in enumerate(sizes)]


@given(st.lists(st.integers(1, 150_000), max_size=70))
@settings(max_examples=60, deadline=None)
def test_requests_carry_every_frame_once_within_the_limits(sizes: list[int]) -> None:
    requests = plan_requests(frames(*sizes))
    got = [
        (slot, frame)
        for request in requests
        for entry in request.entries
        for slot in entry.slots
        for frame in frames_for(slot, entry.parcel)
    ]
    assert sorted(got) == [(slot, frame.data) for slot, frame in enumerate(frames(*sizes))]
    assert all(1 <= len(request.entries) <= SNS_BATCH.value for request in requests)
    assert all(request.size <= SNS_PAYLOAD.value for request in requests)


@pytest.mark.parametrize(
    ("sizes", "operations"),
    [
        ([40] * 61, ["sns:Publish"]),
        ([700] * 19, ["sns:PublishBatch"]),
        ([20_000] * 7, ["sns:PublishBatch"]),
        ([190_000, 100_000, 100], ["sqs:SendMessage"] * 3),
        ([45_000] * 2, ["sqs:SendMessage"] * 2),
        ([40], ["sqs:SendMessage"]),
        ([5_000] * 60, ["sns:PublishBatch"] * 6),
    ],
)
def test_small_frames_share_a_message_larger_ones_a_batch_and_large_ones_nothing(
    sizes: list[int], operations: list[str]
) -> None:
    assert [request.operation for request in plan_requests(frames(*sizes))] == operations


@given(st.lists(st.integers(1, 150_000), max_size=70))
@settings(max_examples=60, deadline=None)
def test_no_plan_costs_more_than_its_messages_sent_to_each_queue(sizes: list[int]) -> None:
    planned = sum(request.usd for request in plan_requests(frames(*sizes)))
    assert planned <= sum(request.usd for request in plan_requests(frames(*sizes), filters=False)) + 1e-12


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 190_000)), max_size=30))
@settings(max_examples=60, deadline=None)
def test_without_filters_every_slot_gets_its_frames_in_its_queue(sizes: list[tuple[int, int]]) -> None:
    sent = [Outgoing(Key(0, slot, Tag(i)), bytes([i]) * size) for i, (slot, size) in enumerate(sizes)]
    requests = plan_requests(sent, filters=False)
    got = [
        (request.slot, frame)
        for request in requests
        for frame in frames_for(request.slot or 0, request.entries[0].parcel)
    ]
    assert sorted(got) == sorted((out.key.destination, out.data) for out in sent)
    assert all(request.operation == "sqs:SendMessage" and request.size <= SNS_PAYLOAD.value for request in requests)


@pytest.mark.parametrize("size", [40, 20_000, 150_000])
def test_a_frame_for_many_slots_is_sent_once(size: int) -> None:
    data = bytes(range(250)) * (size // 250 + 1)
    requests = plan_requests([Outgoing(Key(0, slot, Tag(0)), data) for slot in range(61)])
    assert [(request.operation, len(request.entries)) for request in requests] == [("sns:Publish", 1)]
    assert requests[0].size < len(data) + 600
    assert all(frames_for(slot, requests[0].entries[0].parcel) == [data] for slot in range(61))


def test_ten_shared_messages_are_received_for_one_unit() -> None:
    [request] = plan_requests(frames(*[100] * 61))
    assert 10 * request.size <= SQS_BILLING_CHUNK.value


@given(st.binary(max_size=200))
def test_text_needs_no_quoting_and_comes_back(data: bytes) -> None:
    text = to_text(data)
    assert text == quote_plus(text)
    assert from_text(text) == data


@pytest.mark.parametrize("text", ['{"a": 1}', "é" * 4, "abcde", "ab cd", "a=", "abcd\n"])
def test_other_text_is_told_apart(text: str) -> None:
    assert from_text(text) is None


class FlakySns:
    """Refuses entries by the script: for each call the Ids to refuse, and whether for good."""

    def __init__(self, script: list[tuple[list[str], bool]]) -> None:
        self.script = script
        self.calls: list[list[str]] = []

    def publish_batch(self, TopicArn: str, PublishBatchRequestEntries: list[dict[str, Any]]) -> dict[str, Any]:
        """Take note and answer as SNS does."""
        assert TopicArn == "arn"
        refused, for_good = self.script.pop(0)
        self.calls.append([e["Message"] for e in PublishBatchRequestEntries])
        failed = [{"Id": i, "Code": "InternalError", "Message": "", "SenderFault": for_good} for i in refused]
        return {"Successful": [], "Failed": failed}


def publish(sns: FlakySns, tries: int = 4) -> list[float]:
    """Publish a batch of three messages with a clock that does not move; return the sleeps."""
    slept: list[float] = []
    with ThreadPoolExecutor(1) as pool:
        calls = Background(pool)
        sender = LaneSender(cast("SNSClient", sns), NO_SQS, LANE, calls, Backoff(tries=tries), slept.append)
        sender.start(sender.plan(frames(7_000, 8_000, 9_000)))
        calls.wait()
    return slept


def test_only_the_entries_that_failed_are_sent_again() -> None:
    sns = FlakySns([(["1", "2"], False), (["0"], False), ([], False)])
    slept = publish(sns)
    [a, b, c], *again = sns.calls
    assert again == [[b, c], [b]]
    assert len({a, b, c}) == 3
    assert len(slept) == 2


def test_entries_that_never_succeed_end_in_a_typed_error() -> None:
    sns = FlakySns([(["0"], False)] * 3)
    with pytest.raises(TransportError, match="1 entries refused after 3 tries: InternalError"):
        publish(sns, tries=3)


def test_an_entry_that_is_wrong_is_not_sent_again() -> None:
    sns = FlakySns([(["0"], True)])
    with pytest.raises(TransportError, match="after 1 tries"):
        publish(sns)


def test_a_send_that_failed_in_the_background_is_raised_by_a_later_one() -> None:
    with ThreadPoolExecutor(1) as pool:
        calls = Background(pool)
        sender = LaneSender(
            cast("SNSClient", FlakySns([(["0"], True)])), NO_SQS, LANE, calls, Backoff(), lambda _s: None
        )
        sender.start(sender.plan(frames(7_000, 8_000, 9_000)))
        pool.submit(int).result()
        with pytest.raises(TransportError, match="after 1 tries"):
            sender.start(sender.plan(frames(1)))


def test_deletes_that_fail_are_sent_again() -> None:
    calls: list[list[str]] = []

    class FlakySqs:
        def delete_message_batch(self, QueueUrl: str, Entries: list[dict[str, str]]) -> dict[str, Any]:
            assert QueueUrl == "url"
            calls.append([e["ReceiptHandle"] for e in Entries])
            failed = [{"Id": "1", "Code": "InternalError", "SenderFault": False}] if len(calls) == 1 else []
            return {"Failed": failed}

    with ThreadPoolExecutor(1) as pool:
        sqs = cast("SQSClient", FlakySqs())
        receiver = QueueReceiver(sqs, "url", 0, Polling(), pool, Backoff(), lambda _seconds: None)
        receiver.delete([Incoming(b"", receipt) for receipt in "abc"])
        receiver.drain()
    assert calls == [["a", "b", "c"], ["b"]]


def test_what_was_received_is_deleted_long_before_it_is_visible_again(monkeypatch: pytest.MonkeyPatch) -> None:
    deleted: list[str] = []

    class Sqs:
        def delete_message_batch(self, Entries: list[dict[str, str]], **_: object) -> dict[str, Any]:
            deleted.extend(entry["ReceiptHandle"] for entry in Entries)
            return {}

    now = [100.0]
    monkeypatch.setattr("channels.receive.time.monotonic", lambda: now[0])
    with ThreadPoolExecutor(1) as pool:
        receiver = QueueReceiver(cast("SQSClient", Sqs()), "url", 0, Polling(), pool, Backoff(), lambda _seconds: None)
        receiver.delete([Incoming(b"", "a")])
        now[0] += receive.DELETE_S - 1
        receiver.delete([Incoming(b"", "b")])
        assert not deleted
        now[0] += 2
        receiver.delete([Incoming(b"", "c")])
        pool.submit(int).result()
        assert deleted == ["a", "b", "c"]


def test_backoff_grows_to_its_cap() -> None:
    slept: list[float] = []
    with pytest.raises(TransportError):
        send_in_parts("x", [1], lambda _entries: [Failure(0, "Throttled")], Backoff(9, 0.1, 0.4), slept.append)
    assert len(slept) == 8
    assert max(slept) <= 0.4


def test_messages_arrive_raw_and_only_at_their_slots(cloud: Clients, fresh_lane: QueueSettings) -> None:
    channel = QueueChannel(config(0, 1, slots=3), fresh_lane, sns=cloud.sns, sqs=cloud.sqs)
    channel.send_many([(slot, Tag(77), np.zeros(4)) for slot in (0, 1)])
    channel.close()
    for slot in (0, 1):
        got = arrived(cloud, fresh_lane.queue_urls[slot])
        assert got["Body"] == "."
        assert got["MessageAttributes"]["slot"] == {"StringValue": '["0","1"]', "DataType": "String.Array"}
        assert len(frames_for(slot, got["MessageAttributes"]["d"]["BinaryValue"])) == 1
    assert waiting_messages(cloud, fresh_lane.queue_urls[2]) == 0


def test_what_one_slot_reads_arrives_the_same_without_the_topic(cloud: Clients, fresh_lane: QueueSettings) -> None:
    channel = QueueChannel(config(0, 1), fresh_lane, sns=cast("SNSClient", None), sqs=cloud.sqs)
    channel.send(1, Tag(77), np.zeros(4))
    channel.close()
    got = arrived(cloud, fresh_lane.queue_urls[1])
    assert got["Body"] == "."
    assert len(frames_for(1, got["MessageAttributes"]["d"]["BinaryValue"])) == 1
    assert waiting_messages(cloud, fresh_lane.queue_urls[0]) == 0


def arrived(cloud: Clients, url: str) -> Any:
    """Receive a queue's only message with all its attributes."""
    [got] = cloud.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=2, MessageAttributeNames=["All"])["Messages"]
    return got


def test_one_message_reaches_several_slots_and_no_others(cloud: Clients, fresh_lane: QueueSettings) -> None:
    ends = [QueueChannel(config(slot, 8, slots=3), fresh_lane, sns=cloud.sns, sqs=cloud.sqs) for slot in range(3)]
    ends[0].send_many([(1, Tag(1), np.full(3, 1)), (2, Tag(1), np.full(3, 2))])
    for slot in (1, 2):
        assert np.asarray(ends[slot].recv(0, Tag(1))).tolist() == [slot] * 3
    assert waiting_messages(cloud, fresh_lane.queue_urls[0]) == 0
    for end in ends:
        end.close()


def waiting_messages(cloud: Clients, url: str) -> int:
    """Count a queue's messages, in flight or not."""
    names: list[Any] = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = cloud.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(map(int, attributes.values()))


def test_a_closed_channel_leaves_no_message(cloud: Clients, fresh_lane: QueueSettings) -> None:
    a, b = (QueueChannel(config(slot, 2), fresh_lane, sns=cloud.sns, sqs=cloud.sqs) for slot in (0, 1))
    a.send_many([(1, Tag(step), np.zeros(4)) for step in range(13)])
    for step in range(13):
        b.recv(0, Tag(step))
    a.close()
    b.close()
    assert waiting_messages(cloud, fresh_lane.queue_urls[1]) == 0


def test_nothing_is_polled_that_is_already_here(cloud: Clients, lane: QueueSettings) -> None:
    a, b = (QueueChannel(config(slot, 3), lane, sns=cloud.sns, sqs=cloud.sqs) for slot in (0, 1))
    a.send_many([(1, Tag(step), np.zeros(4)) for step in range(8)])
    for step in range(8):
        b.recv(0, Tag(step))
    assert b.stats.waits <= 2
    a.close()
    b.close()


def test_the_largest_frame_fills_a_message_and_no_more(cloud: Clients, lane: QueueSettings) -> None:
    a, b = (QueueChannel(config(slot, 4), lane, sns=cloud.sns, sqs=cloud.sqs) for slot in (0, 1))
    noise = np.random.default_rng(0).integers(0, 256, a.max_payload - 32, dtype=np.uint8)
    a.send(1, Tag(1), noise)
    got = b.recv(0, Tag(1))
    assert isinstance(got, np.ndarray)
    assert got.tobytes() == noise.tobytes()
    assert a.stats.frames_sent == 1
    a.close()
    b.close()


def test_a_lane_with_too_few_queues_is_refused() -> None:
    settings = QueueSettings("arn", ("url",))
    with pytest.raises(ConfigError, match="at least 2 queues, got 1"):
        QueueChannel(config(0, 5), settings, sns=cast("SNSClient", None), sqs=cast("SQSClient", None))


@pytest.mark.parametrize(("slots", "operation"), [([1], "sqs send_message"), ([0, 1], "sns publish")])
def test_a_service_that_is_not_there_is_a_typed_error(
    cloud: Clients, lane: QueueSettings, slots: list[int], operation: str
) -> None:
    missing = replace(lane, topic_arn=lane.topic_arn + "-gone", queue_urls=tuple(f"{u}-gone" for u in lane.queue_urls))
    channel = QueueChannel(config(0, 6), missing, sns=cloud.sns, sqs=cloud.sqs)
    channel.send_many([(slot, Tag(1), np.zeros(3)) for slot in slots])
    with pytest.raises(TransportError, match=operation):
        channel.flush()
    channel.close()
