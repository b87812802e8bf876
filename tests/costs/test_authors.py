"""The paper's formula against the USD that its authors published."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from costs import CallCount, LambdaUsage
from costs.authors import PaperCounts, authors_usd, paper_counts, publish_units

RESULTS = Path(__file__).parents[2].parent / "shared" / "data" / "fsd-results" / "fsd-results.csv"


def published() -> list[dict[str, str]]:
    if not RESULTS.exists():
        pytest.skip("needs the authors' results, fsd-results.csv, which are not in this checkout")
    with RESULTS.open() as file:
        return [row for row in csv.DictReader(file) if float(row["total_usd"] or 0)]


def counts_of(row: dict[str, str]) -> PaperCounts:
    def number(name: str) -> int:
        return int(row[name] or 0)

    return PaperCounts(
        invocations=number("workers") + 1,
        worker_seconds=float(row["lambda_runtime_s"]),
        memory_mb=number("memory_mb"),
        publishes=number("sns_publish_calls"),
        published_bytes=number("bytes_sent") if row["channel"] == "queue" else 0,
        polls=number("sqs_polls"),
        puts=number("s3_puts"),
        lists=number("s3_lists"),
        gets=number("s3_gets"),
    )


def test_the_formula_gives_the_published_usd() -> None:
    rows = published()
    assert len(rows) >= 30
    for row in rows:
        assert authors_usd(counts_of(row)) == pytest.approx(float(row["total_usd"]), rel=2e-4), row


@pytest.mark.parametrize(("publishes", "size", "units"), [(0, 0, 0), (10, 0, 10), (10, 655_360, 10), (10, 655_361, 20)])
def test_publish_units_follow_the_mean_publish(publishes: int, size: int, units: int) -> None:
    assert publish_units(PaperCounts(0, 0, 0, publishes=publishes, published_bytes=size)) == units


def test_one_of_our_runs_is_counted_as_the_paper_counts() -> None:
    calls = {
        "lambda:Invoke": CallCount(8, 8, 0),
        "s3:DeleteObjects": CallCount(1, 1, 0),
        "s3:GetObject": CallCount(5, 5, 10),
        "s3:ListObjectsV2": CallCount(2, 2, 0),
        "s3:PutObject": CallCount(3, 3, 20),
        "sns:PublishBatch": CallCount(4, 9, 400_000),
        "sqs:DeleteMessageBatch": CallCount(6, 6, 0),
        "sqs:ReceiveMessage": CallCount(7, 9, 300_000),
    }
    usage = [LambdaUsage("infer", 2048, 500), LambdaUsage("worker", 1024, 1500)]
    assert paper_counts(calls, usage) == PaperCounts(2, 2.0, 2048, 4, 400_000, 7, 3, 2, 5)
