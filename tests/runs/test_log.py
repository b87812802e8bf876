"""Log lines are one JSON object each, whatever is in them."""

from __future__ import annotations

import json

import pytest

from runs.log import METRICS, Log, metrics_document


def test_a_line_carries_what_was_bound_and_what_happened() -> None:
    lines: list[str] = []
    Log({"function": "infer"}, lines.append).bind(run_id="r", slot=0).info("lane", lane=1, error=None)
    found = json.loads(lines[0])
    assert found.pop("timestamp").endswith("Z")
    assert found == {"level": "INFO", "event": "lane", "function": "infer", "run_id": "r", "slot": 0, "lane": 1}


@pytest.mark.parametrize("text", ["two\nlines", '{"level": "INFO"}', "\x1b[31m", "\u2028", "x" * 10_000])
def test_what_a_caller_sent_cannot_break_a_line(text: str) -> None:
    lines: list[str] = []
    Log({}, lines.append).error("failed", error=text)
    assert lines[0].isascii()
    assert lines[0].isprintable()
    assert json.loads(lines[0])["error"][:20] == text[:20]
    assert len(lines[0]) < 5_000


def test_metrics_are_in_cloudwatchs_embedded_format() -> None:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html."""
    values = dict.fromkeys(METRICS, 1.0)
    document = metrics_document("dev", values, 12.5)
    directive = document["_aws"]["CloudWatchMetrics"][0]  # type: ignore[index]
    assert document["_aws"]["Timestamp"] == 12_500  # type: ignore[index]
    assert directive["Dimensions"] == [["stage"]]
    assert {metric["Name"] for metric in directive["Metrics"]} == set(METRICS)
    assert all(name in document for name in ("stage", *METRICS))
