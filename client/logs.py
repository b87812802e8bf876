"""Reads the functions' logs: one run's lines of all ranks, by time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from client.errors import UsageError
from client.target import Stage
from costs import parse_usage_line

RANK_0 = "infer"
FUNCTIONS = (RANK_0, "worker")
# Fields that every line has, and that stand in columns of their own.
_COLUMNS = ("timestamp", "level", "event", "function", "run_id", "attempt", "slot", "rank", "request_id")


@dataclass(frozen=True)
class LogLine:
    """One line of a function's log.

    at_ms: milliseconds since 1970. fields: of a structured line; empty for others.
    """

    at_ms: int
    function: str
    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"at_ms": self.at_ms, "function": self.function, **(self.fields or {"text": self.text})}


def log_lines(stage: Stage, function: str, pattern: str) -> Iterator[LogLine]:
    """Lines of a function's log that match a CloudWatch filter pattern; none where the function has no log yet."""
    pages = stage.logs.get_paginator("filter_log_events")
    try:
        for page in pages.paginate(logGroupName=f"/aws/lambda/{stage.function(function)}", filterPattern=pattern):
            for event in page["events"]:
                text = str(event.get("message", "")).rstrip("\n")
                yield LogLine(int(event.get("timestamp", 0)), function, text, _fields(text))
    except stage.logs.exceptions.ResourceNotFoundException:
        return


def logs_of_run(stage: Stage, run_id: str) -> list[LogLine]:
    """What all ranks of a run wrote, by time; their usage lines, which `fsd bill` reads, left out.

    Raises:
        UsageError: nothing (logs take some seconds to arrive).
    """
    found = [line for function in FUNCTIONS for line in log_lines(stage, function, f'"{run_id}"')]
    lines = [line for line in found if "event" in line.fields and line.fields.get("run_id") == run_id]
    if not lines:
        raise UsageError(f"run {run_id}: not in the logs; they take some seconds to arrive")
    return sorted(lines, key=_time)


def show(line: LogLine) -> str:
    """A line for a terminal: time, place, event, and what else it says."""
    known = line.fields
    place = f"attempt {known.get('attempt', '?')} " + " ".join(
        f"{name} {known[name]}" for name in ("slot", "rank") if name in known
    )
    rest = "  ".join(f"{name}={_plain(value)}" for name, value in known.items() if name not in _COLUMNS)
    return f"{_clock(line)}  {line.function:6}  {place:24}  {known['level']:5}  {known['event']}  {rest}".rstrip()


def _fields(text: str) -> Mapping[str, Any]:
    start = text.find("{")
    if start < 0 or parse_usage_line(text) is not None:
        return {}
    try:
        found = json.JSONDecoder().raw_decode(text, start)[0]
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _time(line: LogLine) -> tuple[str, int]:
    return str(line.fields.get("timestamp", "")), line.at_ms


def _clock(line: LogLine) -> str:
    moment = datetime.fromisoformat(str(line.fields["timestamp"]).replace("Z", "+00:00"))
    return moment.astimezone(UTC).strftime("%H:%M:%S.%f")[:-3]


def _plain(value: object) -> str:
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value)
