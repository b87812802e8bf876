"""Counts of calls by operation: what the meter collects, the logs carry, and the bill prices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from costs.errors import MalformedUsageError


@dataclass(frozen=True)
class CallCount:
    """What one operation was asked to do.

    requests: HTTP attempts, the SDK's retries included.
    units:    billed units, by the rules of costs.rules.
    bytes:    payload bytes: bodies and attributes of messages, bytes of objects, payloads of invocations.
    """

    requests: int = 0
    units: int = 0
    bytes: int = 0

    def __add__(self, other: CallCount) -> CallCount:
        return CallCount(self.requests + other.requests, self.units + other.units, self.bytes + other.bytes)

    def __mul__(self, times: int) -> CallCount:
        return CallCount(self.requests * times, self.units * times, self.bytes * times)

    def __sub__(self, other: CallCount) -> CallCount:
        return CallCount(self.requests - other.requests, self.units - other.units, self.bytes - other.bytes)


CallCounts = Mapping[str, CallCount]
"""Counts by "service:Operation", such as "sns:PublishBatch"."""

NONE = CallCount()


def merge(*counts: CallCounts) -> dict[str, CallCount]:
    """The sum of several counts, keys in alphabetical order."""
    operations = sorted({operation for one in counts for operation in one})
    return {name: sum((one.get(name, NONE) for one in counts), NONE) for name in operations}


def subtract(later: CallCounts, earlier: CallCounts) -> dict[str, CallCount]:
    """What `later` has beyond `earlier`, without the operations that did not change."""
    # Two snapshots of a meter have the same object where nothing was counted.
    changed = sorted(name for name in {*later, *earlier} if later.get(name) is not earlier.get(name))
    differences = {name: later.get(name, NONE) - earlier.get(name, NONE) for name in changed}
    return {name: difference for name, difference in differences.items() if difference != NONE}


def at_least(counts: CallCounts, floor: CallCounts) -> dict[str, CallCount]:
    """The larger of two counts, figure by figure, keys in alphabetical order."""
    operations = sorted({*counts, *floor})
    return {name: _larger(counts.get(name, NONE), floor.get(name, NONE)) for name in operations}


def _larger(one: CallCount, other: CallCount) -> CallCount:
    return CallCount(max(one.requests, other.requests), max(one.units, other.units), max(one.bytes, other.bytes))


def calls_to_json(counts: CallCounts) -> dict[str, dict[str, int]]:
    """Counts as plain JSON: {"sns:PublishBatch": {"requests": 1, "units": 1, "bytes": 20}}."""
    return {name: asdict(count) for name, count in sorted(counts.items())}


def calls_from_json(data: object) -> dict[str, CallCount]:
    """The inverse of calls_to_json.

    Raises:
        MalformedUsageError: not of that form, or a count is no integer >= 0.
    """
    if not isinstance(data, dict):
        raise MalformedUsageError(f"call counts: expected an object by operation, got {type(data).__name__}")
    return {str(name): _count_from_json(str(name), fields) for name, fields in data.items()}


def _count_from_json(name: str, fields: object) -> CallCount:
    expected = {"requests", "units", "bytes"}
    if not isinstance(fields, dict) or set(fields) != expected:
        raise MalformedUsageError(f"call counts: {name!r}: expected the fields {sorted(expected)}, got {fields!r:.80}")
    if any(type(value) is not int or value < 0 for value in fields.values()):
        raise MalformedUsageError(f"call counts: {name!r}: expected integers >= 0, got {fields!r:.80}")
    return CallCount(**fields)
