"""Bills computed by hand."""

from __future__ import annotations

import json
import math

import pytest

from costs import PRICES, CallCount, LambdaUsage, Price, UnknownPriceError, billed_units, make_bill, prices_for
from costs import limits as all_limits
from costs.format import calls_rows, line_rows, text_table, usd_rows
from costs.limits import Limit
from costs.rules import price_name


@pytest.mark.parametrize(
    ("operation", "size", "units"),
    [
        ("sns:Publish", 0, 1),
        ("sns:Publish", 65_536, 1),
        ("sns:Publish", 65_537, 2),
        ("sns:PublishBatch", 262_144, 4),
        ("sqs:SendMessageBatch", 1_048_576, 16),
        ("sqs:ReceiveMessage", 0, 1),
        ("sqs:ReceiveMessage", 131_073, 3),
        ("sqs:DeleteMessageBatch", 0, 1),
        ("s3:PutObject", 10_000_000, 1),
        ("s3:GetObject", 10_000_000, 1),
        ("lambda:Invoke", 1_000_000, 1),
    ],
)
def test_units_at_the_64_kib_boundaries(operation: str, size: int, units: int) -> None:
    assert billed_units(operation, size, 200) == units


@pytest.mark.parametrize(("status", "units"), [(200, 1), (304, 1), (404, 1), (412, 1), (500, 0), (503, 0), (0, 1)])
def test_s3_charges_client_errors_but_not_its_own(status: int, units: int) -> None:
    assert billed_units("s3:GetObject", 0, status) == units


@pytest.mark.parametrize(
    ("operation", "price"),
    [
        ("s3:PutObject", "s3.put"),
        ("s3:UploadPart", "s3.put"),
        ("s3:CopyObject", "s3.put"),
        ("s3:CompleteMultipartUpload", "s3.put"),
        ("s3:ListObjectsV2", "s3.put"),
        ("s3:GetObject", "s3.get"),
        ("s3:HeadObject", "s3.get"),
        ("s3:DeleteObject", "s3.delete"),
        ("s3:DeleteObjects", "s3.delete"),
        ("s3:AbortMultipartUpload", "s3.delete"),
        ("sns:PublishBatch", "sns.request"),
        ("sqs:ReceiveMessage", "sqs.request"),
        ("lambda:Invoke", ""),
    ],
)
def test_every_operation_has_its_price(operation: str, price: str) -> None:
    assert price_name(operation) == price


def test_a_bill_by_hand() -> None:
    calls = {
        "lambda:Invoke": CallCount(1, 1, 300),
        "s3:DeleteObjects": CallCount(7, 7, 0),
        "s3:GetObject": CallCount(100, 100, 5_000_000),
        "s3:ListObjectsV2": CallCount(2, 2, 0),
        "s3:PutObject": CallCount(10, 8, 900),
        "sns:PublishBatch": CallCount(50, 120, 7_000_000),
        "sqs:DeleteMessageBatch": CallCount(60, 60, 0),
        "sqs:ReceiveMessage": CallCount(80, 140, 7_000_000),
    }
    usage = [
        LambdaUsage("infer", 2048, 1500),
        LambdaUsage("worker", 1024, 2000),
        LambdaUsage("worker", 512, 500, architecture="arm64"),
    ]
    bill = make_bill(calls, usage)
    x86, arm = 2 * 1.5 + 1 * 2.0, 0.5 * 0.5
    expected = {
        "lambda": x86 * 1.66667e-5 + arm * 1.33334e-5 + 3 * 2e-7,
        "s3": (8 + 2) * 5e-6 + 100 * 4e-7,
        "sns": 120 * 5e-7,
        "sqs": 200 * 4e-7,
    }
    assert bill.usd == pytest.approx({**expected, "total": sum(expected.values())}, rel=1e-12)
    assert math.fsum(line.usd for line in bill.lines) == bill.total


def test_the_sns_to_sqs_switch_shows_both_totals() -> None:
    calls = {"sns:Publish": CallCount(1, 4, 200_000), "sns:PublishBatch": CallCount(1, 1, 50_000)}
    off, on = make_bill(calls, []), make_bill(calls, [], include_sns_to_sqs=True)
    assert off.total == pytest.approx(5 * 5e-7)
    assert on.total == pytest.approx(5 * 5e-7 + 250_000 * 0.09e-9)
    assert on.usd["sns"] == on.total
    assert off.total_both_ways == on.total_both_ways == (off.total, on.total)
    assert off.to_json()["sns_to_sqs"] == {
        "bytes": 250_000,
        "usd": pytest.approx(2.25e-5),
        "included": False,
        "total_without": off.total,
        "total_with": on.total,
    }


def test_a_bill_of_nothing_is_zero() -> None:
    assert make_bill({}, []).usd == {"lambda": 0, "s3": 0, "sns": 0, "sqs": 0, "total": 0}


def test_json_of_a_bill_holds_its_usd_and_lines() -> None:
    data = json.loads(json.dumps(make_bill({"sqs:SendMessage": CallCount(1, 2, 70_000)}, []).to_json()))
    assert data["usd"]["total"] == pytest.approx(8e-7)
    assert data["lines"] == [
        {
            "service": "sqs",
            "what": "SendMessage",
            "quantity": 2,
            "unit": "request of 64 KiB",
            "usd": pytest.approx(8e-7),
        }
    ]


@pytest.mark.parametrize("operation", ["dynamodb:GetItem", "nonsense"])
def test_an_operation_without_a_rule_is_refused(operation: str) -> None:
    with pytest.raises(UnknownPriceError, match="no pricing rule"):
        make_bill({operation: CallCount(1, 1, 1)}, [])


def test_an_unknown_region_or_architecture_is_refused() -> None:
    with pytest.raises(UnknownPriceError, match=r"'mars-1'.*'us-east-1'"):
        prices_for("mars-1")
    with pytest.raises(UnknownPriceError, match="riscv"):
        make_bill({}, [LambdaUsage("f", 128, 1, architecture="riscv")])


def test_every_price_and_limit_names_a_source_and_a_date() -> None:
    limits = [value for value in vars(all_limits).values() if isinstance(value, Limit)]
    assert len(limits) > 30
    entries: list[Price | Limit] = [*PRICES.values(), *limits]
    for entry in entries:
        assert entry.unit
        assert "https://" in entry.source
        assert len(entry.as_of) == len("2026-10")


def test_tables_line_up_their_columns() -> None:
    calls = {"s3:GetObject": CallCount(1, 1, 1_234_567), "sns:PublishBatch": CallCount(10, 20, 3)}
    assert text_table(calls_rows(calls)) == (
        "operation         requests  units      bytes\n"
        "s3:GetObject             1      1  1,234,567\n"
        "sns:PublishBatch        10     20          3"
    )
    bill = make_bill(calls, [LambdaUsage("f", 1024, 1000)])
    rows = usd_rows(bill)
    assert rows[-2:] == [("total", "0.00002727"), ("total with SNS to SQS bytes", "0.00002727")]
    assert ("lambda", "x86_64", "1", "GB-second", "0.00001667") in line_rows(bill)
