"""The final bill of a run, from its functions' logs: the answer's own figures end where the answer was sent."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from client.errors import UsageError
from client.logs import FUNCTIONS, log_lines
from client.target import Stage
from costs import Bill, CallCounts, RunUsage, calls_to_json, gather, gather_all, make_bill, parse_usage_line


@dataclass(frozen=True)
class RunBill:
    """What the logs say a run used, and its price.

    usage.unreported: invocations whose REPORT line has not arrived: the bill is not final.
    """

    run_id: str
    usage: RunUsage
    bill: Bill

    @property
    def final(self) -> bool:
        """Whether every invocation's REPORT line is in."""
        return not self.usage.unreported

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "run_id": self.run_id,
            "final": self.final,
            "invocations": len(self.usage.lambdas),
            "lambda_gb_seconds": sum(one.gb_seconds for one in self.usage.lambdas),
            "calls": calls_to_json(self.usage.calls),
            **self.bill.to_json(),
            "steps": [_step(number, calls) for number, calls in self.usage.steps.items()],
        }


def _step(number: int, calls: CallCounts) -> dict[str, Any]:
    """What the calls of one step of the program, of all ranks, cost."""
    return {"step": number, "calls": calls_to_json(calls), "usd": make_bill(calls, ()).total}


def bill_of_run(stage: Stage, run_id: str, lost: Collection[str] = ()) -> RunBill:
    """Read the logs and price what they hold.

    lost: request ids of invocations that died before they wrote what they had called: their Lambda time counts.

    Raises:
        UsageError: no function has logged anything of this run (logs take some seconds to arrive).
    """
    usage = gather_all([_function_usage(stage, name, run_id, lost) for name in FUNCTIONS])
    if not usage.records:
        raise UsageError(f"run {run_id}: not in the logs; they take some seconds to arrive")
    return RunBill(run_id, usage, make_bill(usage.calls, usage.lambdas))


def _function_usage(stage: Stage, name: str, run_id: str, lost: Collection[str]) -> RunUsage:
    usage = [line.text for line in log_lines(stage, name, f'"{run_id}"') if _is_of(line.text, run_id)]
    request_ids = {record.request_id for line in usage if (record := parse_usage_line(line))}
    reports = [
        line.text
        for request_id in sorted({*request_ids, *lost})
        for line in log_lines(stage, name, f'"REPORT RequestId: {request_id}"')
    ]
    return gather([*usage, *reports], run_id, function=name, request_ids=lost)


def _is_of(line: str, run_id: str) -> bool:
    record = parse_usage_line(line)
    return record is not None and record.run_id == run_id
