"""What handing on takes of the services, and what is never handed on: over queues and objects in this process."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.services import Lane, MemoryS3, MemorySns, MemorySqs
from channels.base import Channel
from channels.codec import Codec
from channels.config import ChannelConfig
from channels.errors import ChannelTimeout, Fenced, RunAborted
from channels.frame import Frame, Header, pack_frame, run_tag
from channels.hybrid import HybridChannel, HybridSettings
from channels.object import ObjectChannel, ObjectSettings
from channels.object_reader import LEAST_FIRST_BYTES, Found, ObjectReader
from channels.parcel import frames_in, pack_parcel
from channels.publish import DATA, LARGEST_BYTES, NO_BODY, RELAYED_BODY, Request, plan_relayed
from channels.queue import QueueChannel, QueueSettings
from channels.receive import Polling
from channels.relay import MOST_MESSAGE_BYTES, MOST_OBJECT_BYTES
from channels.schedule import Waiting
from channels.stamped import pack_stamped
from channels.tags import Tag
from channels.transport import Key, Outgoing
from costs import Meter

pytestmark = pytest.mark.timeout(60)
KEY = b"0123456789abcdef"
RUN = "ab" * 16
SLOTS, RELAY = 4, 3
TAG = Tag(5)
AnyChannel = TypeVar("AnyChannel", bound=Channel)


def config(slot: int, **changes: Any) -> ChannelConfig:
    """Identify a slot of a run that lives for 10 s."""
    me = ChannelConfig(RUN, 1, 7, slot, SLOTS, KEY, time.monotonic() + 10, poll_s=0.05)
    return replace(me, **changes)


def value(source: int, destination: int, step: int = TAG.step) -> np.ndarray[Any, Any]:
    """What a slot sends another."""
    return np.full(5, 100 * step + 10 * source + destination, np.int64)


def signed(as_: ChannelConfig, destination: int, tag: Tag = TAG) -> bytes:
    """The frame that the slot of `as_` would send."""
    payload = Codec(1 << 20).encode(value(as_.slot, destination, tag.step))
    identity = (run_tag(as_.run_id), as_.attempt, as_.epoch, tag, as_.slot, destination)
    return pack_frame(Frame(Header(*identity, 0, 1, len(payload)), payload), as_.mac_key)


@dataclass
class Services:
    """A lane and a bucket; every call of SNS, SQS and S3, by slot of who makes it.

    put_s: that an object takes to be there.
    sent: (slot, operation, queue's slot, body) of what goes to a topic or a queue. deleted, released: receipts.
    """

    lane: Lane = field(default_factory=lambda: Lane(tuple(f"q{slot}" for slot in range(SLOTS))))
    objects: dict[str, bytes] = field(default_factory=dict)
    sent: list[tuple[int, str, int | None, str]] = field(default_factory=list)
    asked: list[tuple[int, str, bool]] = field(default_factory=list)
    put: list[tuple[int, str]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    put_s: float = 0.0
    stack: ExitStack = field(default_factory=ExitStack)

    def queue(self, slot: int, filters: bool = True, **changes: Any) -> QueueChannel:
        """A slot's end of the lane."""
        lane = QueueSettings("arn", self.lane.urls, polling=Polling(wait_s=1), filters=filters)
        sns, sqs = cast(Any, _Sns(self, slot)), cast(Any, _Sqs(self, slot))
        return self._closing(QueueChannel(config(slot, **changes), lane, sns=sns, sqs=sqs))

    def object(self, slot: int, **changes: Any) -> ObjectChannel:
        """A slot's end of the bucket."""
        place = ObjectSettings("bucket", f"runs/{RUN}/x/", waiting=Waiting(), abort_waiting=Waiting(0.05, 0.05))
        s3 = cast(Any, _S3(self, slot))
        return self._closing(ObjectChannel(config(slot, **changes), place, s3=s3))

    def hybrid(self, slot: int) -> HybridChannel:
        """A slot's end of both."""
        lane = QueueSettings("arn", self.lane.urls, polling=Polling(wait_s=1))
        place = HybridSettings(lane, "bucket", f"runs/{RUN}/x/")
        sns, sqs, s3 = (cast(Any, of(self, slot)) for of in (_Sns, _Sqs, _S3))
        return self._closing(HybridChannel(config(slot), place, sns=sns, sqs=sqs, s3=s3))

    def _closing(self, channel: AnyChannel) -> AnyChannel:
        self.stack.callback(channel.close)
        return channel

    def leave(self, slot: int, frames: Sequence[tuple[int, bytes]], body: str = RELAYED_BODY) -> None:
        """Put a message with (destination, frame) into a slot's queue, as a peer or a stranger would."""
        parcel = pack_parcel([Outgoing(Key(0, to, TAG), data) for to, data in frames])
        self.lane.put(f"q{slot}", body, {DATA: {"BinaryValue": parcel}})

    def found(self, slot: int) -> list[bytes]:
        """What the own process of a slot has asked for and got, by name: sources, or "all"."""
        return [name.rsplit("/", 1)[1].encode() for who, name, there in self.asked if who == slot and there]


class _Sns(MemorySns):
    def __init__(self, services: Services, slot: int) -> None:
        super().__init__(services.lane, Meter())
        self.services, self.slot = services, slot

    def publish(self, **params: Any) -> dict[str, Any]:
        self.services.sent.append((self.slot, "sns:Publish", None, params["Message"]))
        return super().publish(**params)

    def publish_batch(self, **params: Any) -> dict[str, Any]:
        self.services.sent.append((self.slot, "sns:PublishBatch", None, ""))
        return super().publish_batch(**params)


class _Sqs(MemorySqs):
    def __init__(self, services: Services, slot: int) -> None:
        super().__init__(services.lane, Meter())
        self.services, self.slot = services, slot

    def send_message(self, **params: Any) -> dict[str, Any]:
        to = int(params["QueueUrl"].removeprefix("q"))
        self.services.sent.append((self.slot, "sqs:SendMessage", to, params["MessageBody"]))
        return super().send_message(**params)

    def delete_message_batch(self, **params: Any) -> dict[str, Any]:
        self.services.deleted += [entry["ReceiptHandle"] for entry in params["Entries"]]
        return super().delete_message_batch(**params)

    def change_message_visibility(self, **params: Any) -> None:
        assert params["VisibilityTimeout"] == 0
        self.services.released.append(params["ReceiptHandle"])


class _S3(MemoryS3):
    def __init__(self, services: Services, slot: int) -> None:
        super().__init__(services.objects, Meter())
        self.services, self.slot = services, slot

    def put_object(self, **params: Any) -> dict[str, Any]:
        self.services.put.append((self.slot, params["Key"].rsplit("/", 1)[1]))
        time.sleep(self.services.put_s)
        return super().put_object(**params)

    def get_object(self, **params: Any) -> dict[str, Any]:
        there = params["Key"] in self.services.objects
        if not params["Key"].endswith("abort"):
            self.services.asked.append((self.slot, params["Key"], there))
        return super().get_object(**params)


@pytest.fixture
def services() -> Iterator[Services]:
    """A cloud of its own; what was opened is closed."""
    made = Services()
    with made.stack:
        yield made


def send(end: Channel, destinations: Sequence[int], senders: Sequence[int] = range(SLOTS)) -> None:
    """Send to these slots under TAG, which RELAY hands on."""
    end.relay(TAG, RELAY, senders)
    end.send_many([(slot, TAG, value(end.config.slot, slot)) for slot in destinations])
    end.flush()


def others(slot: int) -> list[int]:
    """All slots but one."""
    return [other for other in range(SLOTS) if other != slot]


def assert_received(end: Channel, sources: Sequence[int]) -> None:
    """Whether a slot gets what these have sent it."""
    for source in sources:
        assert np.array_equal(np.asarray(end.recv(source, TAG)), value(source, end.config.slot))


# Queues


def test_every_source_sends_one_message_to_who_hands_on_and_that_one_to_all(services: Services) -> None:
    ends = [services.queue(slot) for slot in range(SLOTS)]
    for end in ends:
        send(end, others(end.config.slot))
    ends[RELAY].hand_on(TAG)
    for end in ends:
        assert_received(end, others(end.config.slot))
    ends[RELAY].flush()
    to_relay = [(slot, "sqs:SendMessage", RELAY, RELAYED_BODY) for slot in others(RELAY)]
    assert services.sent == [*to_relay, (RELAY, "sns:Publish", None, NO_BODY)]


def test_without_filters_every_reader_gets_one_message_in_its_queue(services: Services) -> None:
    ends = [services.queue(slot, filters=False) for slot in range(SLOTS)]
    for end in ends:
        send(end, others(end.config.slot))
    ends[RELAY].hand_on(TAG)
    for end in ends:
        assert_received(end, others(end.config.slot))
    assert Counter(slot for slot, *_ in services.sent) == {0: 1, 1: 1, 2: 1, RELAY: 3}
    assert sorted((to, body) for slot, _, to, body in services.sent if slot == RELAY) == [
        (slot, NO_BODY) for slot in others(RELAY)
    ]


def test_who_has_much_sends_it_as_it_would_and_word_of_it_to_who_hands_on(services: Services) -> None:
    ends = [services.queue(slot) for slot in range(SLOTS)]
    large = np.random.default_rng(0).integers(0, 256, MOST_MESSAGE_BYTES, dtype=np.uint8)
    ends[0].relay(TAG, RELAY, [0, 1])
    ends[0].send(1, TAG, large)
    ends[0].flush()
    send(ends[1], [2], [0, 1])
    send(ends[RELAY], [], [0, 1])
    ends[RELAY].hand_on(TAG)
    ends[RELAY].flush()
    assert np.array_equal(np.asarray(ends[1].recv(0, TAG)), large)
    assert_received(ends[2], [1])
    assert all(body != RELAYED_BODY for slot, _, _, body in services.sent if slot == 0)
    assert [(op, to) for slot, op, to, _ in services.sent if slot == RELAY] == [("sqs:SendMessage", 2)]


def relay_with(services: Services, *messages: Sequence[tuple[int, bytes]]) -> QueueChannel:
    """Who hands on, of source 0 alone, with messages of that in its queue."""
    relay = services.queue(RELAY)
    relay.relay(TAG, RELAY, [0])
    for frames in messages:
        services.leave(RELAY, frames)
    return relay


def test_a_message_that_comes_twice_before_or_after_is_handed_on_once(services: Services) -> None:
    message = [(1, signed(config(0), 1)), (2, signed(config(0), 2))]
    relay = relay_with(services, message, message)
    relay.hand_on(TAG)
    relay.flush()
    assert len(services.sent) == 1
    services.leave(RELAY, message)
    services.leave(RELAY, [(RELAY, signed(config(1), RELAY))], NO_BODY)
    relay.recv(1, TAG)
    relay.flush()
    assert len(services.sent) == 1
    for slot in (1, 2):
        end = services.queue(slot)
        assert_received(end, [0])
        assert end.stats.duplicates == 0


def test_what_comes_after_is_handed_on_at_once(services: Services) -> None:
    relay = relay_with(services, [(1, signed(config(0), 1))])
    relay.hand_on(TAG)
    services.leave(RELAY, [(2, signed(config(0), 2)), (RELAY, signed(config(0), RELAY))])
    relay.recv(0, TAG)
    relay.flush()
    assert [(op, to) for _, op, to, _ in services.sent] == [("sqs:SendMessage", 1), ("sqs:SendMessage", 2)]
    assert_received(services.queue(2), [0])


@pytest.mark.parametrize(
    ("change", "stale", "rejected"),
    [
        ({"run_id": "cd" * 16, "epoch": 6}, 1, 0),
        ({"mac_key": b"another key 4567"}, 0, 1),
        ({"attempt": 0}, 1, 0),
        ({"epoch": 6}, 1, 0),
    ],
    ids=["another run", "another key", "an older attempt", "an older epoch"],
)
def test_what_is_not_of_this_attempt_is_counted_and_not_handed_on(
    services: Services, change: dict[str, Any], stale: int, rejected: int
) -> None:
    relay = relay_with(services, [(1, signed(config(0, **change), 1))], [(2, signed(config(0), 2))])
    relay.hand_on(TAG)
    relay.close()
    assert (relay.stats.stale, relay.stats.rejected) == (stale, rejected)
    assert [(op, to) for _, op, to, _ in services.sent] == [("sqs:SendMessage", 2)]
    assert sorted(services.deleted) == ["0", "1"]
    assert services.released == []


@pytest.mark.parametrize("slot", [1, SLOTS, 1 << 20])
def test_a_frame_under_anothers_number_is_refused(services: Services, slot: int) -> None:
    for_all = signed(config(0), 0xFFFF) if slot >= SLOTS else signed(config(0), 2)
    relay = relay_with(services, [(slot, for_all)], [(2, signed(config(0), 2))])
    relay.hand_on(TAG)
    relay.flush()
    assert relay.stats.rejected == 1
    assert [(op, to) for _, op, to, _ in services.sent] == [("sqs:SendMessage", 2)]


@pytest.mark.parametrize("own", [False, True])
def test_a_part_of_a_newer_attempt_fences_who_hands_on_and_the_message_is_left(services: Services, own: bool) -> None:
    newer = config(0, attempt=2)
    frames = [(RELAY, signed(config(0), RELAY))] if own else []
    relay = relay_with(services, [*frames, (1, signed(newer, 1))])
    with pytest.raises(Fenced, match="slot 3: holds epoch 7 attempt 1"):
        relay.hand_on(TAG)
    relay.close()
    assert services.released == ["0"]
    assert services.deleted == []
    assert services.sent == []


@pytest.mark.parametrize("channel", [Services.queue, Services.object])
def test_the_end_of_a_run_reaches_who_waits_to_hand_on(
    services: Services, channel: Callable[[Services, int], Channel]
) -> None:
    relay = channel(services, RELAY)
    relay.relay(TAG, RELAY, [0, 1])
    channel(services, 0).abort("no room")
    with pytest.raises(RunAborted, match="no room"):
        relay.hand_on(TAG)


FRAMES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(1, 150_000)), min_size=1, max_size=20)


def got_by(requests: Sequence[Request]) -> list[tuple[int, bytes]]:
    """(slot, frame) of what each slot finds in the messages that it gets."""
    return sorted(
        (slot, frame)
        for request in requests
        for entry in request.entries
        for slot in (entry.slots if request.slot is None else [request.slot])
        for to, frame in frames_in(entry.parcel)
        if to == slot
    )


@given(FRAMES, st.booleans(), st.booleans())
@settings(max_examples=80, deadline=None)
def test_every_reader_gets_its_frames_once_within_the_limits(
    sizes: list[tuple[int, int, int]], filters: bool, shared: bool
) -> None:
    data = [bytes([i]) * size for i, (_, _, size) in enumerate(sizes)]
    sent = [Outgoing(Key(src, dst, TAG), data[i]) for i, (src, dst, _) in enumerate(sizes)]
    if shared:
        sent += [Outgoing(Key(src, 6, TAG), data[i]) for i, (src, _, _) in enumerate(sizes)]
    requests = plan_relayed(sent, filters)
    assert got_by(requests) == sorted((out.key.destination, out.data) for out in sent)
    assert all(request.size <= LARGEST_BYTES and len(request.entries) == 1 for request in requests)
    assert all(request.body == NO_BODY for request in requests)
    assert filters or all(request.operation == "sqs:SendMessage" for request in requests)


def between(readers: int, size: int, sources: int = 7) -> list[Outgoing]:
    """A frame of each source for each reader."""
    pairs = [(src, dst) for dst in range(readers) for src in range(sources)]
    return [Outgoing(Key(src, dst, TAG), bytes([src, dst]) * (size // 2)) for src, dst in pairs]


@pytest.mark.parametrize(
    ("readers", "size", "operations"),
    [
        (7, 100, ["sns:Publish"]),
        (7, 900, ["sns:Publish"]),  # 44 kB, a chunk of 64 KiB
        # 147 kB would be three chunks for each of seven; what two readers get fills one.
        (7, 3_000, ["sns:Publish"] * 3 + ["sqs:SendMessage"]),
        (7, 20_000, ["sqs:SendMessage"] * 7),  # 140 kB for each
        (7, 100_000, ["sqs:SendMessage"] * 49),  # 700 kB for each; two do not fit into one message
        (1, 100, ["sqs:SendMessage"]),
    ],
)
def test_all_of_it_is_one_message_where_it_fits_else_one_for_readers_who_share_a_chunk(
    readers: int, size: int, operations: list[str]
) -> None:
    found = [request.operation for request in plan_relayed(between(readers, size))]
    assert found == operations


def test_without_filters_each_reader_has_a_message_of_its_own() -> None:
    requests = plan_relayed(between(7, 100), filters=False)
    assert [(request.operation, request.slot) for request in requests] == [
        ("sqs:SendMessage", slot) for slot in range(7)
    ]


def test_nobody_reads_a_ticket_of_who_hands_on_before_its_object_is_there(services: Services) -> None:
    services.put_s = 0.3
    relay, reader = services.hybrid(RELAY), services.hybrid(1)
    large = np.random.default_rng(0).integers(0, 256, 1 << 20, dtype=np.uint8)
    relay.relay(TAG, RELAY, [RELAY])
    relay.send(1, TAG, large)
    relay.hand_on(TAG)
    assert np.array_equal(np.asarray(reader.recv(RELAY, TAG)), large)
    assert len(services.put) == 1


# Objects


def test_a_reader_asks_once_for_what_all_have_sent(services: Services) -> None:
    ends = [services.object(slot) for slot in range(SLOTS)]
    for end in ends:
        send(end, others(end.config.slot))
    ends[RELAY].hand_on(TAG)
    ends[RELAY].flush()
    for end in ends:
        assert_received(end, others(end.config.slot))
    assert services.put == [(0, "0"), (1, "1"), (2, "2"), (RELAY, "all")]
    assert [services.found(slot) for slot in others(RELAY)] == [[b"all"]] * 3
    assert sorted(services.found(RELAY)) == [b"0", b"1", b"2"]


def test_without_a_relay_it_asks_every_source(services: Services) -> None:
    ends = [services.object(slot) for slot in range(SLOTS)]
    for end in ends:
        end.send_many([(slot, TAG, value(end.config.slot, slot)) for slot in others(end.config.slot)])
        end.flush()
    assert_received(ends[0], others(0))
    assert sorted(services.found(0)) == [b"1", b"2", b"3"]


def test_what_a_source_adds_later_is_asked_for_at_the_source(services: Services) -> None:
    ends = [services.object(slot) for slot in range(SLOTS)]
    send(ends[0], [1], [0, 1])
    send(ends[1], [2], [0, 1])
    send(ends[RELAY], [], [0, 1])
    ends[RELAY].hand_on(TAG)
    ends[RELAY].flush()
    send(ends[0], [2], [0, 1])
    ends[2].relay(TAG, RELAY, [0, 1])
    assert_received(ends[2], [1, 0])
    assert services.found(2) == [b"all", b"0"]


def test_who_has_much_is_asked_for_it(services: Services) -> None:
    ends = [services.object(slot) for slot in range(SLOTS)]
    large = np.random.default_rng(0).integers(0, 256, MOST_OBJECT_BYTES, dtype=np.uint8)
    ends[0].relay(TAG, RELAY, [0, 1])
    ends[0].send_many([(2, TAG, value(0, 2)), (1, TAG, large)])
    ends[0].flush()
    send(ends[1], [2], [0, 1])
    send(ends[RELAY], [], [0, 1])
    ends[RELAY].hand_on(TAG)
    ends[RELAY].flush()
    ends[2].relay(TAG, RELAY, [0, 1])
    assert_received(ends[2], [1, 0])
    assert services.found(2) == [b"all", b"0"]
    assert np.array_equal(np.asarray(ends[1].recv(0, TAG)), large)
    (relayed,) = (data for name, data in services.objects.items() if name.endswith("all"))
    assert len(relayed) < 1000


def test_a_source_that_never_comes_is_named_at_the_deadline(services: Services) -> None:
    relay = services.object(RELAY, deadline=time.monotonic() + 0.5)
    send(services.object(0), [1], [0, 2])
    relay.relay(TAG, RELAY, [0, 2])
    started = time.monotonic()
    with pytest.raises(ChannelTimeout, match="slot 3: no step 5"):
        relay.hand_on(TAG)
    assert time.monotonic() - started < 5
    assert (RELAY, "all") not in services.put


def test_a_broken_object_of_a_source_makes_nobody_wait_but_its_readers(services: Services) -> None:
    relay = services.object(RELAY)
    services.objects[f"runs/{RUN}/x/1-7/5/0/0"] = b"\xff" * 99
    send(services.object(1), [2], [0, 1])
    relay.relay(TAG, RELAY, [0, 1])
    relay.hand_on(TAG)
    relay.flush()
    reader = services.object(2)
    reader.relay(TAG, RELAY, [0, 1])
    assert_received(reader, [1])


def test_an_index_that_is_longer_than_what_is_read_at_first_is_read_whole() -> None:
    ranks = 200
    frames = [Outgoing(Key(src, dst, TAG), bytes(80)) for dst in range(ranks) for src in range(ranks)]
    parcel = pack_stamped(frames[: 1 << 15], 7.5)

    class OneObject:
        def __init__(self) -> None:
            self.gets = 0

        def get_object(self, **params: Any) -> dict[str, Any]:
            self.gets += 1
            return MemoryS3({"all": parcel}, Meter()).get_object(**params)

    s3 = OneObject()
    reader = ObjectReader(cast(Any, s3), "bucket", 2, 1 << 20)
    assert reader.read_all("all") == Found([(2, bytes(80))] * ranks, 7.5)
    assert 2 * len(frames[: 1 << 15]) >= LEAST_FIRST_BYTES
    assert reader.read_all("all") == Found([(2, bytes(80))] * ranks, 7.5)
    assert s3.gets <= 4
    assert reader.read_all("none") is None
