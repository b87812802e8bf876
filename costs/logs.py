"""The exact bill of a run lies in the functions' logs: each invocation writes one line with its final call counts, and
Lambda writes its REPORT line after it. This file writes, reads and gathers them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from costs.calls import CallCounts, calls_from_json, calls_to_json, merge
from costs.errors import MalformedUsageError
from costs.limits import LOG_EVENT
from costs.usage import LambdaUsage, is_report, parse_report

_MARK = "fsd_usage"
_SCHEMA = 1


@dataclass(frozen=True)
class UsageRecord:
    """Final call counts of one invocation.

    attempt:    which try of the run it belongs to, from 1.
    rank:       rank within the attempt; -1 = left before it had one.
    request_id: Lambda's request id, which its REPORT line carries too.
    steps:      of these calls, those of each step of the program.
    """

    run_id: str
    attempt: int
    rank: int
    request_id: str
    calls: CallCounts
    steps: Mapping[int, CallCounts] = field(default_factory=dict)


@dataclass(frozen=True)
class RunUsage:
    """All that the logs say about one run.

    calls:      sum over its invocations.
    lambdas:    one entry per REPORT line, so an invocation that Lambda retried is there twice.
    records:    one entry per usage line.
    unreported: request ids whose REPORT line has not arrived: the bill is not final.
    """

    calls: CallCounts
    lambdas: tuple[LambdaUsage, ...]
    records: tuple[UsageRecord, ...]
    unreported: frozenset[str]

    @property
    def steps(self) -> dict[int, CallCounts]:
        """Calls of all ranks by step of the program; those of starting, loading and reporting are in none."""
        numbers = sorted({step for record in self.records for step in record.steps})
        return {step: merge(*(record.steps.get(step, {}) for record in self.records)) for step in numbers}


def usage_line(
    run_id: str,
    attempt: int,
    rank: int,
    request_id: str,
    calls: CallCounts,
    steps: Mapping[int, CallCounts] | None = None,
) -> str:
    """One log line, without line end, that parse_usage_line reads; without the steps where they make it too long."""
    fields: dict[str, object] = {"run_id": run_id, "attempt": attempt, "rank": rank, "request_id": request_id}
    fields |= {_MARK: _SCHEMA, "calls": calls_to_json(calls)}
    by_step = {step: calls_to_json(counts) for step, counts in (steps or {}).items()}
    whole = _line(fields | {"steps": by_step}) if by_step else ""
    return whole if 0 < len(whole) <= LOG_EVENT.value else _line(fields)


def _line(fields: Mapping[str, object]) -> str:
    return json.dumps({_MARK: fields[_MARK], **fields}, separators=(",", ":"))


def parse_usage_line(line: str) -> UsageRecord | None:
    """The record in a log line, whatever stands before it; None for every line that holds none."""
    start = line.find(f'{{"{_MARK}":')
    if start < 0:
        return None
    try:
        return _record(json.JSONDecoder().raw_decode(line, start)[0])
    except (ValueError, KeyError, TypeError, RecursionError, MalformedUsageError):
        return None


def _record(data: dict[str, object]) -> UsageRecord | None:
    if data[_MARK] != _SCHEMA:
        return None
    attempt, rank = data["attempt"], data["rank"]
    if not isinstance(attempt, int) or not isinstance(rank, int):
        return None
    calls = calls_from_json(data["calls"])
    return UsageRecord(
        str(data["run_id"]), attempt, rank, str(data["request_id"]), calls, _steps(data.get("steps", {}))
    )


def _steps(data: object) -> dict[int, CallCounts]:
    if not isinstance(data, dict):
        raise MalformedUsageError(f"steps: expected an object, got {type(data).__name__}")
    return {int(step): calls_from_json(counts) for step, counts in data.items()}


def gather(
    lines: Iterable[str],
    run_id: str,
    function: str = "",
    architecture: str = "x86_64",
    request_ids: Iterable[str] = (),
) -> RunUsage:
    """What one function's log says about a run; join several functions with gather_all.

    request_ids: invocations known to belong to the run, whether or not they lived to write their usage line.
    """
    every = list(lines)
    records = tuple(record for record in map(parse_usage_line, every) if record and record.run_id == run_id)
    wanted = {record.request_id for record in records} | set(request_ids)
    reports = (parse_report(line, function, architecture) for line in every if is_report(line))
    lambdas = tuple(report for report in reports if report.request_id in wanted)
    calls = merge(*(record.calls for record in records))
    return RunUsage(calls, lambdas, records, frozenset(wanted - {one.request_id for one in lambdas}))


def gather_all(parts: Sequence[RunUsage]) -> RunUsage:
    """The logs of several functions as one; a request id is unreported when no part has its REPORT line."""
    lambdas = tuple(one for part in parts for one in part.lambdas)
    reported = {one.request_id for one in lambdas}
    return RunUsage(
        calls=merge(*(part.calls for part in parts)),
        lambdas=lambdas,
        records=tuple(record for part in parts for record in part.records),
        unreported=frozenset(one for part in parts for one in part.unreported) - reported,
    )
