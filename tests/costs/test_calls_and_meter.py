"""Counts add up, survive JSON, and are exact under threads."""

from __future__ import annotations

import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costs import (
    CallCount,
    CostError,
    MalformedUsageError,
    Meter,
    at_least,
    calls_from_json,
    calls_to_json,
    merge,
    subtract,
)

NUMBERS = st.integers(0, 2**53)
COUNTS = st.dictionaries(
    st.sampled_from(["s3:GetObject", "sns:Publish", "sqs:SendMessage"]),
    st.builds(CallCount, NUMBERS, NUMBERS, NUMBERS).filter(lambda count: count != CallCount()),
)


@given(COUNTS, COUNTS)
def test_subtracting_a_part_leaves_the_other(left: dict[str, CallCount], right: dict[str, CallCount]) -> None:
    assert subtract(merge(left, right), right) == left


@given(COUNTS)
def test_json_gives_back_the_same_counts(counts: dict[str, CallCount]) -> None:
    assert calls_from_json(json.loads(json.dumps(calls_to_json(counts)))) == counts


def test_merge_adds_operation_by_operation() -> None:
    left = {"sqs:SendMessage": CallCount(1, 2, 3)}
    right = {"sns:Publish": CallCount(4, 5, 6), "sqs:SendMessage": CallCount(10, 20, 30)}
    assert list(merge(left, right).items()) == [
        ("sns:Publish", CallCount(4, 5, 6)),
        ("sqs:SendMessage", CallCount(11, 22, 33)),
    ]


def test_a_floor_lifts_each_figure_by_itself() -> None:
    counts = {"sqs:SendMessage": CallCount(1, 9, 3)}
    floor = {"sns:Publish": CallCount(4, 5, 6), "sqs:SendMessage": CallCount(2, 8, 3)}
    assert list(at_least(counts, floor).items()) == [
        ("sns:Publish", CallCount(4, 5, 6)),
        ("sqs:SendMessage", CallCount(2, 9, 3)),
    ]
    assert at_least(counts, {}) == counts


@pytest.mark.parametrize(
    "data",
    [
        [],
        {"s3:GetObject": 3},
        {"s3:GetObject": {"requests": 1, "units": 1}},
        {"s3:GetObject": {"requests": 1, "units": 1, "bytes": -1}},
        {"s3:GetObject": {"requests": 1, "units": 1, "bytes": True}},
        {"s3:GetObject": {"requests": 1, "units": 1.5, "bytes": 0}},
    ],
)
def test_malformed_counts_are_refused_in_one_line(data: object) -> None:
    with pytest.raises(MalformedUsageError, match="expected") as caught:
        calls_from_json(data)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, CostError)


def test_a_snapshot_does_not_change_with_later_calls() -> None:
    meter = Meter()
    meter.record("s3:GetObject", bytes=5)
    early = meter.snapshot()
    meter.record("s3:GetObject", requests=2, units=3, bytes=5)
    assert early == {"s3:GetObject": CallCount(1, 1, 5)}
    assert meter.snapshot() == {"s3:GetObject": CallCount(3, 4, 10)}


def test_no_call_is_lost_between_threads_and_resets() -> None:
    meter, taken = Meter(), []
    done = threading.Event()

    def record() -> None:
        for _ in range(5_000):
            meter.record("sqs:ReceiveMessage", units=2, bytes=3)

    def collect() -> None:
        while not done.is_set():
            taken.append(meter.reset())

    threads = [threading.Thread(target=record) for _ in range(4)]
    collector = threading.Thread(target=collect)
    for thread in (collector, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    collector.join()
    assert merge(*taken, meter.snapshot()) == {"sqs:ReceiveMessage": CallCount(20_000, 40_000, 60_000)}
