"""Predictions: clocks go on together, calls follow from bytes, and the price is the bill's."""

from __future__ import annotations

import pytest

from costs import make_bill
from costs.planner import BYTES_PER_S, LATENCY_S, START_S, Computed, Exchanged, predict

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


def test_objects_cost_a_put_per_sender_and_a_get_per_message() -> None:
    before, after = (predict(steps, 4, "object", 1024).calls for steps in ([], [all_gather(KIB)]))
    assert after["s3:PutObject"].requests - before["s3:PutObject"].requests == 4
    assert after["s3:GetObject"].requests - before["s3:GetObject"].requests == 24


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
