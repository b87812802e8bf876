"""When the bill of a run is final: once the logs hold every invocation that the run's record names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from client.bill import bill_of_run
from client.errors import UsageError
from client.tables import bill_lines
from client.target import Stage
from costs.calls import CallCount, calls_to_json
from costs.logs import usage_line

PUT = {"s3:PutObject": CallCount(1, 1, 10)}
RECORD: dict[str, Any] = {
    "ranks": [{"rank": 0, "request_id": "a0"}, {"rank": 1, "request_id": "b1"}, {"rank": 2, "request_id": "b2"}]
}


class Logs:
    """Stands for CloudWatch: lines by function; those in `late` are there after so many looks."""

    def __init__(self, lines: dict[str, list[str]], late: dict[str, list[str]] | None = None, looks: int = 0) -> None:
        self.lines, self.late, self.looks = lines, late or {}, looks
        self.asked: list[tuple[str, str]] = []
        self.exceptions = type("exceptions", (), {"ResourceNotFoundException": KeyError})

    def get_paginator(self, _name: str) -> Logs:
        return self

    def paginate(self, *, logGroupName: str, filterPattern: str) -> Iterator[dict[str, Any]]:
        function = logGroupName.rpartition("-")[2]
        if len(self.asked) == self.looks:
            self.lines = {name: [*lines, *self.late.get(name, [])] for name, lines in self.lines.items()}
        self.asked.append((function, filterPattern.strip('"')))
        found = [{"message": line} for line in self.lines[function] if filterPattern.strip('"') in line]
        yield {"events": found}


def usage(rank: int, request_id: str) -> str:
    return usage_line("run", 1, rank, request_id, PUT)


def report(request_id: str) -> str:
    return (
        f"REPORT RequestId: {request_id}\tDuration: 10.00 ms\tBilled Duration: 10 ms\t"
        "Memory Size: 128 MB\tMax Memory Used: 90 MB"
    )


INFER = [usage(0, "a0"), report("a0")]
FIRST = [usage(1, "b1"), report("b1")]
SECOND = [usage(2, "b2"), report("b2")]


def stage(logs: Logs) -> Stage:
    nothing: Any = None
    as_client: Any = logs
    return Stage("dev", "bucket", nothing, nothing, as_client)


def test_a_bill_is_final_once_all_ranks_of_the_record_are_in_the_logs() -> None:
    logs = Logs({"infer": INFER, "worker": [*FIRST, *SECOND]})
    bill = bill_of_run(stage(logs), "run", RECORD)
    assert bill.final
    assert bill.usage.calls["s3:PutObject"].requests == len(bill.usage.lambdas) == 3
    assert len(logs.asked) == len(set(logs.asked)) == 5  # a run's lines of two functions, and each invocation's once


def test_a_rank_of_which_nothing_has_arrived_is_missed() -> None:
    bill = bill_of_run(stage(Logs({"infer": INFER, "worker": FIRST})), "run", RECORD)
    assert not bill.final
    assert bill.usage.unreported == {"b2"}


@pytest.mark.parametrize("looks", range(6))
def test_what_arrives_while_the_logs_are_read_never_makes_a_bill_final_without_its_calls(looks: int) -> None:
    logs = Logs({"infer": INFER, "worker": FIRST}, late={"worker": SECOND}, looks=looks)
    bill = bill_of_run(stage(logs), "run", RECORD)
    assert bill.final <= (bill.usage.calls["s3:PutObject"].requests == 3)
    again = bill_of_run(stage(logs), "run", RECORD)
    assert again.final
    assert again.usage.calls["s3:PutObject"].requests == 3


def test_where_a_line_is_lost_the_calls_are_those_of_the_record() -> None:
    """Lambda's own line is there: nothing more will come."""
    record = {**RECORD, "calls": calls_to_json({"s3:PutObject": CallCount(3, 3, 30)})}
    bill = bill_of_run(stage(Logs({"infer": INFER, "worker": [*FIRST, report("b2")]})), "run", record)
    assert bill.final
    assert bill.unlogged == {"b2"}
    assert bill.usage.calls == {"s3:PutObject": CallCount(3, 3, 30)}
    assert bill.to_json()["unlogged"] == ["b2"]
    assert "last line of 1 is not in the logs" in bill_lines(bill.to_json())[0]


def test_a_run_of_one_rank_has_a_bill_though_its_line_is_lost() -> None:
    record = {"ranks": RECORD["ranks"][:1], "calls": calls_to_json(PUT)}
    bill = bill_of_run(stage(Logs({"infer": [report("a0")], "worker": []})), "run", record)
    assert bill.final
    assert bill.usage.calls == PUT


def test_what_came_after_the_record_is_in_the_bill() -> None:
    logs = Logs({"infer": INFER, "worker": [*FIRST, *SECOND]})
    bill = bill_of_run(stage(logs), "run", {**RECORD, "calls": calls_to_json(PUT)})
    assert bill.usage.calls == {"s3:PutObject": CallCount(3, 3, 30)}
    assert bill.unlogged == frozenset()
    assert "not in the logs" not in bill_lines(bill.to_json())[0]


def test_without_a_record_what_the_logs_name_must_be_reported() -> None:
    assert bill_of_run(stage(Logs({"infer": INFER, "worker": FIRST})), "run", {}).final
    assert not bill_of_run(stage(Logs({"infer": INFER, "worker": [usage(1, "b1")]})), "run", {}).final


def test_an_invocation_that_died_is_charged_wherever_it_ran() -> None:
    bill = bill_of_run(
        stage(Logs({"infer": INFER, "worker": [*FIRST, *SECOND, report("dead")]})),
        "run",
        {**RECORD, "lost_request_ids": ["dead"]},
    )
    assert bill.final
    assert len(bill.usage.lambdas) == 4


def test_a_run_of_which_the_logs_hold_nothing_is_one_clear_line() -> None:
    with pytest.raises(UsageError, match="run: not in the logs"):
        bill_of_run(stage(Logs({"infer": [], "worker": []})), "run", RECORD)
