"""What `fsd doctor` makes of a stage's facts."""

from __future__ import annotations

from typing import Any

import pytest

from client.doctor import Checkup, judge

HEALTHY: dict[str, Any] = {
    "stage": "dev",
    "quota": 1000,
    "ranks_per_lane": 16,
    "lanes": [{"lane": 0, "state": "free", "run_id": "", "epoch": 3}, {"lane": 1, "state": "leased", "run_id": "r"}],
    "line": 0,
    "express_bucket": "",
    "channel": {"age_s": 5000.0, "filter_delay_s": 900.0},
    "versions": {
        "functions": {"numpy": "2.4.0", "onnxruntime": "1.30"},
        "here": {"numpy": "2.4.0", "onnxruntime": "1.30"},
    },
    "bucket": {"name": "b", "encryption": "AES256", "public_access_blocked": True, "runs_expire": True},
    "dead_letters": 0,
}


def test_a_stage_as_the_template_makes_it_has_nothing_wrong() -> None:
    assert judge(HEALTHY) == []


@pytest.mark.parametrize(
    ("change", "level", "words"),
    [
        ({"quota": 1}, "error", "no run of several workers"),
        ({"quota": 10}, "warning", "runs 10 functions at once"),
        ({"channel": {"age_s": 60.0, "filter_delay_s": 900.0}}, "warning", "another 840 s"),
        ({"lanes": [{"lane": 0, "state": "expired", "run_id": "r"}]}, "warning", "run r died"),
        ({"line": 4}, "warning", "4 asynchronous runs"),
        ({"dead_letters": 2}, "warning", "2 runs failed"),
        (
            {"versions": {"functions": {"numpy": "1", "onnxruntime": ""}, "here": {"numpy": "2", "onnxruntime": "3"}}},
            "warning",
            "numpy is 1",
        ),
        ({"bucket": {**HEALTHY["bucket"], "encryption": ""}}, "error", "not encrypted"),
        ({"bucket": {**HEALTHY["bucket"], "public_access_blocked": False}}, "error", "public access"),
        ({"bucket": {**HEALTHY["bucket"], "runs_expire": False}}, "warning", "does not expire"),
    ],
)
def test_each_fault_is_one_finding_with_its_remedy(change: dict[str, Any], level: str, words: str) -> None:
    facts = {**HEALTHY, **change}
    (finding,) = judge(facts)
    assert finding.level == level
    assert words in finding.what
    assert finding.do
    assert Checkup(facts, (finding,)).healthy == (level == "warning")
