"""What a Lambda invocation used, as its REPORT log line tells it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from costs.errors import MalformedUsageError

ARCHITECTURES = ("arm64", "x86_64")
_REPORT = re.compile(r"^REPORT RequestId: (?P<request_id>\S+)\s")
_NUMBER = r":\s*(\d+(?:\.\d+)?)\s*"


@dataclass(frozen=True)
class LambdaUsage:
    """One invocation of a function.

    function:     name of the function; empty = not known.
    memory_mb:    configured memory in MB, which is what is charged, not the memory used.
    billed_ms:    charged time in milliseconds; AWS includes the initialisation since 2025-08.
    init_ms:      initialisation in milliseconds, for information; 0 = a warm start.
    architecture: "x86_64" or "arm64".
    request_id:   the invocation's request id; retries of an asynchronous invocation keep it and are charged each.
    """

    function: str
    memory_mb: int
    billed_ms: float
    init_ms: float = 0.0
    architecture: str = "x86_64"
    request_id: str = ""

    @property
    def gb_seconds(self) -> float:
        """Charged GB-seconds; 1 GB = 1,024 MB."""
        return self.memory_mb / 1024 * self.billed_ms / 1000


def is_report(line: str) -> bool:
    """Whether a log line is a REPORT line of Lambda."""
    return _REPORT.match(line) is not None


def parse_report(line: str, function: str = "", architecture: str = "x86_64") -> LambdaUsage:
    r"""Usage from a line such as "REPORT RequestId: 1f0e\tBilled Duration: 12 ms\tMemory Size: 128 MB".

    Raises:
        MalformedUsageError: not a REPORT line, or one without billed duration or memory size.
    """
    match = _REPORT.match(line)
    if match is None:
        raise MalformedUsageError(f"log line: expected 'REPORT RequestId: ...', got {line[:60]!r}")
    return LambdaUsage(
        function=function,
        memory_mb=int(_required(line, "Memory Size", "MB")),
        billed_ms=_required(line, "Billed Duration", "ms"),
        init_ms=_field(line, "Init Duration", "ms") or 0.0,
        architecture=architecture,
        request_id=match["request_id"],
    )


def _field(line: str, name: str, unit: str) -> float | None:
    match = re.search(rf"(?:^|\s){name}{_NUMBER}{unit}", line)
    return float(match[1]) if match else None


def _required(line: str, name: str, unit: str) -> float:
    value = _field(line, name, unit)
    if value is None:
        raise MalformedUsageError(f"REPORT line: expected {name!r} in {unit}, got {line[:120]!r}")
    return value
