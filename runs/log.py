"""Structured logs and metrics: one JSON object a line, which CloudWatch reads as it is.

JSON escapes whatever a name or an error holds. AWS Lambda Powertools would do the same, and add 0.1 s to every cold
start of every rank.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

NAMESPACE = "FSD"
# The metrics of a run, with their units.
METRICS: Mapping[str, str] = {
    "Runs": "Count",
    "Attempts": "Count",
    "Failures": "Count",
    "Seconds": "Seconds",
    "Usd": "None",
}
MAX_TEXT = 4_000


def write_line(line: str) -> None:
    """To the function's log, in one piece: lines of two threads do not mix."""
    sys.stdout.write(f"{line}\n")


@dataclass(frozen=True)
class Log:
    """Writes lines that all carry `fields`: function, request_id, and what `bind` adds: run_id, attempt, slot, rank."""

    fields: Mapping[str, object] = field(default_factory=dict)
    write: Callable[[str], None] = write_line

    def bind(self, **fields: object) -> Log:
        """The same with more fields."""
        return Log({**self.fields, **fields}, self.write)

    def info(self, event: str, **fields: object) -> None:
        """What happened."""
        self._write("INFO", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """What went wrong."""
        self._write("ERROR", event, fields)

    def metrics(self, stage: str, values: Mapping[str, float]) -> None:
        """Metrics of a run, in CloudWatch's embedded metric format: no call, CloudWatch takes them from the log."""
        self.write(json.dumps({**metrics_document(stage, values, time.time()), **self.fields}))

    def _write(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        known = {name: _short(value) for name, value in {**self.fields, **fields}.items() if value not in (None, "")}
        self.write(json.dumps({"timestamp": now, "level": level, "event": event, **known}, default=str))


def metrics_document(stage: str, values: Mapping[str, float], now: float) -> dict[str, object]:
    """The embedded metric format, version 0, of one run's METRICS; now: seconds since 1970."""
    listed = [{"Name": name, "Unit": METRICS[name]} for name in values]
    directive = {"Namespace": NAMESPACE, "Dimensions": [["stage"]], "Metrics": listed}
    return {"_aws": {"Timestamp": int(now * 1000), "CloudWatchMetrics": [directive]}, "stage": stage, **values}


def _short(value: object) -> object:
    return value if not isinstance(value, str) or len(value) <= MAX_TEXT else f"{value[:MAX_TEXT]}..."
