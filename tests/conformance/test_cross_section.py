"""One backend test of every op on two divisions, and one on all of them; `make conformance` runs the others."""

from __future__ import annotations

from functools import cache

import pytest

from tests.conformance.collection import BackendTest, collect
from tests.conformance.judge import EVERY_DIVISION, FORCED, Division, Outcome, judge
from tests.conformance.summary import as_markdown, summarise

DIVISIONS = (Division("row", 2), Division("column", 3), Division(FORCED, 2))


@cache
def by_op() -> dict[str, list[BackendTest]]:
    """The tests of each op, in the order of their names."""
    found: dict[str, list[BackendTest]] = {}
    for test in collect():
        if test.kind in ("node", "simple") and test.op != "<expanded>":
            found.setdefault(test.op, []).append(test)
    return found


@cache
def outcomes() -> tuple[Outcome, ...]:
    """For each op, those of the first of its tests that plain onnxruntime passes."""
    return tuple(outcome for tests in by_op().values() for outcome in _first_that_runs(tests))


def _first_that_runs(tests: list[BackendTest]) -> list[Outcome]:
    found: list[Outcome] = []
    for test in tests:
        found = judge(test, DIVISIONS)
        if found[0].division is not None:
            break
    return found


def test_no_op_fails_in_pieces() -> None:
    assert [o for o in outcomes() if o.verdict == "failed"] == []


def test_most_ops_are_judged() -> None:
    judged = {o.op for o in outcomes() if o.verdict in ("split", "replicated")}
    assert len(judged) >= 150
    assert {"MatMul", "Conv", "Gather", "If", "LSTM", "TopK"} <= judged


def test_every_rule_is_exercised() -> None:
    assert summarise(outcomes()).untested == ()


def test_four_in_five_ops_with_a_rule_run_in_pieces() -> None:
    assert summarise(outcomes()).split_share >= 0.8


def test_one_test_on_every_division() -> None:
    [test] = [t for t in by_op()["Gemm"] if t.name == "test_gemm_default_vector_bias"]
    found = judge(test)
    assert [o.division for o in found] == list(EVERY_DIVISION)
    assert {o.verdict for o in found} <= {"split", "replicated"}
    assert any(o.split for o in found)


def test_wrong_answer_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    [test] = [t for t in by_op()["Relu"] if t.name == "test_relu"]
    monkeypatch.setattr("tests.conformance.judge._run_divided", _fail)
    found = judge(test, DIVISIONS)
    assert {o.verdict for o in found} == {"failed"}
    assert not summarise(found).ok
    assert "Not equal to tolerance" in as_markdown(summarise(found), found)


def _fail(*_arguments: object) -> None:
    raise AssertionError("Not equal to tolerance")
