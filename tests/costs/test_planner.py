"""Predictions: clocks go on together, calls follow from bytes, and the price is the bill's."""

from __future__ import annotations

import pytest

from channels.publish import plan_requests
from channels.tags import Tag
from channels.transport import Key, Outgoing
from costs import CallCounts, make_bill
from costs.calls import merge
from costs.exchanged import Exchanged, channel_calls
from costs.planner import BYTES_PER_S, LATENCY_S, START_S, Computed, predict

KIB = 1 << 10
ALL = (0, 1, 2, 3)


def broadcast(nbytes: int) -> Exchanged:
    """The same tensor from rank 0 to three others."""
    return Exchanged((0,), (1, 2, 3), 3 * nbytes, nbytes, 3, 1)


def all_gather(nbytes: int) -> Exchanged:
    """A piece of `nbytes` from everybody to everybody."""
    return Exchanged(ALL, ALL, 12 * nbytes, 4 * nbytes, 12, 1)


def test_one_worker_computes_and_sends_nothing() -> None:
    found = predict([Computed({0: 2.0})], 1, "queue", 1024)
    assert found.seconds == 2.0
    assert set(found.calls) == {"s3:GetObject", "s3:PutObject"}


def test_receivers_wait_for_the_last_sender() -> None:
    steps: list[Computed | Exchanged] = [Computed({0: 1.0, 1: 5.0, 2: 1.0, 3: 1.0}), all_gather(0), Computed({0: 1.0})]
    assert predict(steps, 4, "queue", 1024).seconds == pytest.approx(START_S + 5.0 + LATENCY_S["queue"] + 1.0)


def test_a_sender_goes_on_while_its_bytes_travel() -> None:
    sent = Exchanged((0,), (1,), 1 << 30, 1 << 30, 1, 1)
    back = Exchanged((1,), (0,), 0, 0, 1, 1)
    assert predict([sent, Computed({0: 1.0})], 2, "queue", 1024).seconds == pytest.approx(START_S + 1.0)
    expected = START_S + (1 << 30) / BYTES_PER_S + 2 * LATENCY_S["queue"]
    assert predict([sent, back], 2, "queue", 1024).seconds == pytest.approx(expected)


@pytest.mark.parametrize(
    ("nbytes", "requests", "units"), [(1, 1, 1), (64 * KIB, 1, 1), (65 * KIB, 1, 2), (400 * KIB, 3, 7)]
)
def test_a_publish_is_one_request_for_all_receivers(nbytes: int, requests: int, units: int) -> None:
    before, after = (predict(steps, 4, "queue", 1024).calls["sns:Publish"] for steps in ([], [broadcast(nbytes)]))
    assert (after.requests - before.requests, after.units - before.units) == (requests, units)


def test_calls_add_up_over_exchanges_that_are_made_again_and_again() -> None:
    steps = [broadcast(KIB), all_gather(KIB), broadcast(KIB), broadcast(65 * KIB), broadcast(KIB)]
    price = channel_calls("queue", "s3")
    fixed = predict([], 4, "queue", 1024).calls
    assert predict(steps, 4, "queue", 1024).calls == merge(fixed, *map(price, steps))


def test_objects_cost_a_put_per_sender_and_a_get_per_message() -> None:
    before, after = (predict(steps, 4, "object", 1024).calls for steps in ([], [all_gather(KIB)]))
    assert after["s3:PutObject"].requests - before["s3:PutObject"].requests == 4
    assert after["s3:GetObject"].requests - before["s3:GetObject"].requests == 12 + 4  # and a miss for each receiver


@pytest.mark.parametrize("nbytes", [KIB, 100 * KIB, 10 << 20])
def test_hybrid_is_charged_no_more_than_the_queue(nbytes: int) -> None:
    queue, hybrid = (predict([broadcast(nbytes)], 4, channel, 1024) for channel in ("queue", "hybrid"))
    assert hybrid.usd <= queue.usd
    assert (hybrid.calls != queue.calls) == (nbytes == 10 << 20)


def test_memory_and_workers_are_charged() -> None:
    steps = [Computed(dict.fromkeys(ALL, 1.0))]
    small, large = (predict(steps, 4, "queue", memory).bill.usd["lambda"] for memory in (1024, 2048))
    assert large == pytest.approx(2 * small, rel=0.01)
    assert predict(steps, 4, "queue", 1024).usd > make_bill({}, ()).total


SENDS = ("Publish", "PublishBatch", "SendMessage")


def sent_usd(calls: CallCounts) -> float:
    """Without what receivers pay."""
    return make_bill({name: count for name, count in calls.items() if name.split(":")[1] in SENDS}, ()).total


@pytest.mark.parametrize(
    ("step", "operation", "requests", "units"),
    [
        (Exchanged((1,), (0,), 100 * KIB, 100 * KIB, 1, 1), "sqs:SendMessage", 1, 2),  # one reader
        (Exchanged((1, 2, 3), (0,), 30 * KIB, 30 * KIB, 3, 1), "sqs:SendMessage", 3, 3),  # a gather
        (Exchanged((0,), (1, 2), 120 * KIB, 60 * KIB, 2, 1), "sns:Publish", 1, 1),  # one message, two readers
        (Exchanged((0,), (1, 2, 3), 180 * KIB, 180 * KIB, 3, 1), "sqs:SendMessage", 3, 3),  # 3 * 4e-7 < 3 * 5e-7
        (Exchanged((0,), (1, 2, 3), 3 * KIB, 3 * KIB, 3, 1), "sns:Publish", 1, 1),  # small ones share a message
        # 7 * 20 KiB are 187 KiB of text: 3 * 5e-7 < 7 * 4e-7
        (Exchanged((0,), tuple(range(1, 8)), 140 * KIB, 140 * KIB, 7, 1), "sns:PublishBatch", 1, 3),
        # 3 * 40 KiB are 160 KiB of text: 3 * 4e-7 < 3 * 5e-7
        (Exchanged((0,), (1, 2, 3), 120 * KIB, 120 * KIB, 3, 1), "sqs:SendMessage", 3, 3),
    ],
)
def test_messages_go_to_the_topic_or_to_their_readers_queues(
    step: Exchanged, operation: str, requests: int, units: int
) -> None:
    calls = channel_calls("queue", "s3")(step)
    assert {name for name in calls if name.split(":")[1] in SENDS} == {operation}
    assert (calls[operation].requests, calls[operation].units) == (requests, units)


@pytest.mark.parametrize("readers", [1, 2, 3, 7])
@pytest.mark.parametrize("nbytes", [100, 3_000, 20_000, 44_000, 60_000, 100_000])
@pytest.mark.parametrize("same", [True, False])
def test_sending_is_priced_as_the_queue_channel_plans_it(readers: int, nbytes: int, same: bool) -> None:
    one, slots = bytes(nbytes), tuple(range(1, readers + 1))
    frames = [Outgoing(Key(0, slot, Tag(0)), one if same else bytes([slot]) * nbytes) for slot in slots]
    planned = sum(request.usd for request in plan_requests(frames))
    step = Exchanged((0,), slots, readers * nbytes, nbytes if same else readers * nbytes, readers, 1)
    assert sent_usd(channel_calls("queue", "s3")(step)) == pytest.approx(planned)


def test_objects_of_one_zone_have_its_prices_for_requests_and_bytes() -> None:
    before, after = (predict(steps, 4, "object", 1024, express=True) for steps in ([], [all_gather(1 << 28)]))
    assert {name: after.calls[name] for name in ("s3:PutObject", "s3:GetObject")} == {
        name: before.calls[name] for name in ("s3:PutObject", "s3:GetObject")
    }  # claims, lease and record stay in the stage's bucket
    # 4 PUTs of a quarter of a GB, 16 GETs of which 12 return 3 GB.
    expected = 4 * 1.13e-6 + 1 * 3.2e-3 + 16 * 3e-8 + 3 * 6e-4
    assert after.bill.usd["s3"] - before.bill.usd["s3"] == pytest.approx(expected)
    assert predict([all_gather(1 << 28)], 4, "object", 1024).seconds == after.seconds


def test_hybrid_takes_objects_of_one_zone_earlier() -> None:
    """320 KiB for one reader: 5 units sent, 5 received; else a PUT, a GET, their bytes, and a ticket."""
    step = Exchanged((0,), (1,), 320 * KIB, 320 * KIB, 1, 1)
    by_queue = channel_calls("queue", "s3express")(step)
    assert channel_calls("hybrid", "s3")(step) == by_queue
    found = channel_calls("hybrid", "s3express")(step)
    in_gb = 320 * KIB / (1 << 30)
    objects = 1.13e-6 + in_gb * 3.2e-3 + 3e-8 + in_gb * 6e-4
    assert make_bill(found, ()).total == pytest.approx(objects + 3 * 4e-7)  # send, receive, delete
    assert make_bill(by_queue, ()).total == pytest.approx((5 + 5 + 1) * 4e-7)


def test_the_queue_costs_the_same_with_one_zone() -> None:
    plain, express = (predict([all_gather(KIB)], 4, "queue", 1024, express=zone) for zone in (False, True))
    assert plain == express
