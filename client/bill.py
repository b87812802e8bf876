"""The final bill of a run, from its functions' logs: the answer's own figures end where the answer was sent."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from client.errors import UsageError
from client.logs import FUNCTIONS, RANK_0, log_lines
from client.target import Stage
from costs import (
    Bill,
    CallCounts,
    RunUsage,
    at_least,
    calls_from_json,
    calls_to_json,
    gather,
    gather_all,
    make_bill,
    parse_usage_line,
)


@dataclass(frozen=True)
class RunBill:
    """What the logs say a run used, and its price.

    usage.calls: no fewer than the run's record has.
    usage.unreported: invocations whose REPORT line has not arrived: the bill is not final.
    unlogged: ranks' invocations without a usage line: of their calls, those up to their report are in.
    """

    run_id: str
    usage: RunUsage
    bill: Bill
    unlogged: frozenset[str]

    @property
    def final(self) -> bool:
        """Whether every invocation's REPORT line is in."""
        return not self.usage.unreported

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "run_id": self.run_id,
            "final": self.final,
            "unlogged": sorted(self.unlogged),
            "invocations": len(self.usage.lambdas),
            "lambda_gb_seconds": sum(one.gb_seconds for one in self.usage.lambdas),
            "calls": calls_to_json(self.usage.calls),
            **self.bill.to_json(),
            "steps": [_step(number, calls) for number, calls in self.usage.steps.items()],
        }


def _step(number: int, calls: CallCounts) -> dict[str, Any]:
    """What the calls of one step of the program, of all ranks, cost."""
    return {"step": number, "calls": calls_to_json(calls), "usd": make_bill(calls, ()).total}


def bill_of_run(stage: Stage, run_id: str, record: Mapping[str, Any]) -> RunBill:
    """Read the logs and price what they hold.

    record: the run's; empty while it goes on. It names the invocations that must be in the logs before the bill is
    final: the ranks', and those that died before they wrote what they had called, whose Lambda time counts. Where a
    line of a rank is lost, the record's calls stand.

    Raises:
        UsageError: no function has logged anything of this run (logs take some seconds to arrive).
    """
    usage = gather_all([_function_usage(stage, name, run_id, _named(record, name)) for name in FUNCTIONS])
    if not usage.records and not usage.lambdas:
        raise UsageError(f"run {run_id}: not in the logs; they take some seconds to arrive")
    usage = replace(usage, calls=at_least(usage.calls, calls_from_json(record.get("calls", {}))))
    ranks = {one["request_id"] for one in record.get("ranks", ())}
    unlogged = frozenset(ranks - {one.request_id for one in usage.records})
    return RunBill(run_id, usage, make_bill(usage.calls, usage.lambdas), unlogged)


def _named(record: Mapping[str, Any], function: str) -> set[str]:
    """Request ids, from a run's record, of what may be a function's invocations."""
    ranks = [one["request_id"] for one in record.get("ranks", ()) if (one["rank"] == 0) == (function == RANK_0)]
    return {*ranks, *record.get("lost_request_ids", ())}


def _function_usage(stage: Stage, name: str, run_id: str, named: Collection[str]) -> RunUsage:
    reports = _reports(stage, name, named)  # first: who has written this has written its usage line before
    usage = [line.text for line in log_lines(stage, name, f'"{run_id}"') if _is_of(line.text, run_id)]
    found = {record.request_id for line in usage if (record := parse_usage_line(line))}
    return gather([*usage, *reports, *_reports(stage, name, found - set(named))], run_id, name, request_ids=named)


def _reports(stage: Stage, name: str, request_ids: Collection[str]) -> list[str]:
    """The REPORT lines that are there."""
    patterns = [f'"REPORT RequestId: {request_id}"' for request_id in sorted(request_ids)]
    return [line.text for pattern in patterns for line in log_lines(stage, name, pattern)]


def _is_of(line: str, run_id: str) -> bool:
    record = parse_usage_line(line)
    return record is not None and record.run_id == run_id
