"""REPORT lines, usage lines, and what a run's logs add up to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costs import (
    CallCount,
    LambdaUsage,
    MalformedUsageError,
    Meter,
    gather,
    gather_all,
    is_report,
    merge,
    parse_report,
    parse_usage_line,
    subtract,
    usage_line,
)
from costs.steps import StepMeter

COLD = (
    "REPORT RequestId: 3f8a-11\tDuration: 102.25 ms\tBilled Duration: 412 ms\tMemory Size: 2048 MB\t"
    "Max Memory Used: 91 MB\tInit Duration: 309.61 ms\t\n"
)
WARM = (
    "REPORT RequestId: 3f8a-12\tDuration: 12.4 ms\tBilled Duration: 13 ms\tMemory Size: 128 MB\t"
    "Max Memory Used: 30 MB\t\n"
)
EMBEDDED = "REPORT RequestId: 7c\tDuration: 12 ms\tBilled Duration: 12 ms\tMemory Size: 128 MB\tMax Memory Used: 30 MB"
TIMEOUT = f"{EMBEDDED}\tStatus: timeout"
CALLS = {"sns:PublishBatch": CallCount(3, 4, 250_000), "sqs:ReceiveMessage": CallCount(9, 9, 0)}
NOISE = (
    "",
    "START RequestId: 3f8a-11 Version: $LATEST",
    "[INFO] 2026-10-01T00:00:00Z fsd_usage of the run will follow",
    '{"fsd_usage":1}',
    '{"fsd_usage":1,"run_id":"r","attempt":1,"rank":0,"request_id":"q","calls":{"s3:GetObject":{"requests":-1}}}',
    '{"fsd_usage":1,"run_id":"r","attempt":1,"rank":0,"requ',
    '{"fsd_usage":2,"run_id":"r","attempt":1,"rank":0,"request_id":"q","calls":{}}',
    '{"fsd_usage":1,"run_id":"r","attempt":null,"rank":0,"request_id":"q","calls":{}}',
    "a REPORT RequestId: that a user wrote, Billed Duration: 9 ms Memory Size: 9 MB",
)


def test_a_cold_report_is_charged_its_billed_duration() -> None:
    usage = parse_report(COLD, "worker", "arm64")
    assert usage == LambdaUsage("worker", 2048, 412.0, 309.61, "arm64", "3f8a-11")
    assert usage.gb_seconds == pytest.approx(2 * 0.412)


@pytest.mark.parametrize(
    ("line", "billed", "request_id"), [(WARM, 13, "3f8a-12"), (EMBEDDED, 12, "7c"), (TIMEOUT, 12, "7c")]
)
def test_a_warm_report_has_no_initialisation(line: str, billed: float, request_id: str) -> None:
    assert parse_report(line) == LambdaUsage("", 128, billed, 0.0, "x86_64", request_id)


@pytest.mark.parametrize("line", ["END RequestId: 7c", "REPORT RequestId: 7c\tDuration: 12 ms\tMemory Size: 128 MB"])
def test_a_line_without_the_needed_fields_is_refused(line: str) -> None:
    with pytest.raises(MalformedUsageError, match="expected"):
        parse_report(line)


@given(st.text(), st.integers(1, 9), st.integers(-1, 99), st.text())
def test_a_usage_line_gives_back_its_record(run_id: str, attempt: int, rank: int, request_id: str) -> None:
    line = usage_line(run_id, attempt, rank, request_id, CALLS)
    assert "\n" not in line
    record = parse_usage_line(f"[INFO]\t2026-10-01T00:00:00Z\t{line} trailing\n")
    assert record is not None
    assert (record.run_id, record.attempt, record.rank, record.request_id) == (run_id, attempt, rank, request_id)
    assert record.calls == CALLS


@pytest.mark.parametrize("line", NOISE)
def test_other_lines_hold_no_record(line: str) -> None:
    assert parse_usage_line(line) is None
    assert not is_report(line)


@given(st.text())
def test_no_text_makes_the_parser_raise(text: str) -> None:
    assert parse_usage_line(text) is None
    assert parse_usage_line('{"fsd_usage":' + text) is None


def test_a_run_is_the_sum_of_its_own_lines() -> None:
    log = [
        *NOISE,
        usage_line("run-1", 1, 0, "3f8a-11", CALLS),
        COLD,
        usage_line("run-2", 1, 0, "3f8a-12", CALLS),
        WARM,
        usage_line("run-1", 1, 1, "7c", CALLS),
        EMBEDDED,
        EMBEDDED,
    ]
    usage = gather(log, "run-1", "worker")
    assert usage.calls == {"sns:PublishBatch": CallCount(6, 8, 500_000), "sqs:ReceiveMessage": CallCount(18, 18, 0)}
    assert [one.request_id for one in usage.lambdas] == ["3f8a-11", "7c", "7c"]
    assert usage.unreported == frozenset()


def test_an_invocation_that_died_is_charged_when_its_request_id_is_known() -> None:
    usage = gather([TIMEOUT], "run-1", request_ids=["7c", "8d"])
    assert [one.request_id for one in usage.lambdas] == ["7c"]
    assert usage.unreported == {"8d"}


def test_several_functions_make_one_run() -> None:
    infer = gather([usage_line("r", 1, 0, "3f8a-11", CALLS), COLD], "r", "infer", request_ids=["7c"])
    worker = gather([usage_line("r", 1, 1, "7c", {"s3:GetObject": CallCount(1, 1, 9)}), EMBEDDED], "r", "worker")
    both = gather_all([infer, worker])
    assert {one.function for one in both.lambdas} == {"infer", "worker"}
    assert both.calls == {"s3:GetObject": CallCount(1, 1, 9), **CALLS}
    assert both.unreported == frozenset()
    assert len(both.records) == 2


def test_steps_are_what_was_counted_during_each_and_add_up_with_the_rest() -> None:
    meter = Meter()
    steps = StepMeter(meter, {})
    meter.record("s3:GetObject")
    for step in (0, 4, 0):
        steps.enter(step)
        meter.record("sns:Publish", units=step + 1, bytes=10)
    steps.enter(9)
    steps.enter(None)
    meter.record("sqs:DeleteMessageBatch")
    assert steps.counts == {0: {"sns:Publish": CallCount(2, 2, 20)}, 4: {"sns:Publish": CallCount(1, 5, 10)}}
    rest = subtract(meter.snapshot(), merge(*steps.counts.values()))
    assert set(rest) == {"s3:GetObject", "sqs:DeleteMessageBatch"}


def test_steps_of_all_ranks_are_joined_from_the_lines() -> None:
    by_step = {3: {"sns:Publish": CallCount(1, 1, 7)}, 12: {"s3:PutObject": CallCount(2, 2, 9)}}
    lines = [usage_line("r", 1, rank, f"id-{rank}", merge(*by_step.values()), by_step) for rank in range(2)]
    usage = gather(lines, "r")
    assert usage.steps == {3: {"sns:Publish": CallCount(2, 2, 14)}, 12: {"s3:PutObject": CallCount(4, 4, 18)}}
    assert usage.calls == merge(*usage.steps.values())


def test_a_line_that_would_be_cut_leaves_the_steps_out() -> None:
    by_step = {step: {"sns:Publish": CallCount(1, 1, 7)} for step in range(9000)}
    line = usage_line("r", 1, 0, "id", {"sns:Publish": CallCount(9000, 9000, 63000)}, by_step)
    assert len(line) < 1000
    record = parse_usage_line(line)
    assert record is not None
    assert record.steps == {}
