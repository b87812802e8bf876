"""What a run takes by the size of its request: predicted at compile time for a few sizes, kept in the bundle, and read
between them when a request comes. `auto` chooses a channel by it; nothing else depends on it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

from costs.bill import make_bill
from costs.planner import Prediction
from costs.usage import LambdaUsage

INFO_KEY = "forecast"
_DIGITS = 6


@dataclass(frozen=True)
class Point:
    """One channel and one size of the request.

    input_bytes: of the request's tensors. seconds: until the answer. lambda_s: of all functions together.
    calls_usd:   of everything but Lambda's time, which depends on the functions' memory.
    express_usd: the same where ranks exchange objects in S3 Express One Zone.
    """

    channel: str
    input_bytes: int
    seconds: float
    lambda_s: float
    calls_usd: float
    express_usd: float


@dataclass(frozen=True)
class Estimate:
    """Seconds until the answer, and US dollars, of a warm run."""

    seconds: float
    usd: float


def point(found: Prediction, express: Prediction, input_bytes: int) -> Point:
    """What is kept of a prediction, and of the same with objects in S3 Express One Zone."""
    usd = (make_bill(one.calls, ()).total for one in (found, express))
    return Point(found.channel, input_bytes, *map(_rounded, (found.seconds, found.lambda_s, *usd)))


def to_info(points: Iterable[Point]) -> str:
    """The text that a manifest's info keeps under INFO_KEY."""
    return json.dumps([list(asdict(one).values()) for one in points], separators=(",", ":"))


def from_info(info: Mapping[str, object]) -> tuple[Point, ...]:
    """The points of a manifest; none where it has none that can be read. Older ones have one price, for both stores."""
    try:
        rows = json.loads(str(info.get(INFO_KEY, "[]")))
        return tuple(Point(str(row[0]), int(row[1]), *map(float, (*row[2:], row[-1])[:4])) for row in rows)
    except (ValueError, TypeError, LookupError):
        return ()


def estimates(
    points: Sequence[Point], input_bytes: int, workers: int, memory_mb: int, *, express: bool = False
) -> dict[str, Estimate]:
    """By channel, for a request of `input_bytes` to `workers` functions of `memory_mb`.

    express: whether ranks exchange objects in S3 Express One Zone.
    On a line between the two sizes beside it, which goes on beyond the last one.
    """
    by_channel: dict[str, list[Point]] = {}
    for one in sorted(points, key=lambda one: one.input_bytes):
        by_channel.setdefault(one.channel, []).append(one)
    found = {channel: _between(known, input_bytes) for channel, known in by_channel.items()}
    return {channel: Estimate(one.seconds, _usd(one, workers, memory_mb, express)) for channel, one in found.items()}


def _between(known: Sequence[Point], input_bytes: int) -> Point:
    pairs = list(pairwise(known)) or [(known[0], known[0])]
    low, high = next((pair for pair in pairs if input_bytes <= pair[1].input_bytes), pairs[-1])
    span = high.input_bytes - low.input_bytes
    share = max(0.0, (input_bytes - low.input_bytes) / span) if span else 0.0

    def mix(name: str) -> float:
        first, last = getattr(low, name), getattr(high, name)
        return float(first + share * (last - first))

    return Point(low.channel, input_bytes, *map(mix, ("seconds", "lambda_s", "calls_usd", "express_usd")))


def _usd(one: Point, workers: int, memory_mb: int, express: bool) -> float:
    usage = [LambdaUsage("", memory_mb, 1000 * one.lambda_s / workers)] * workers
    return (one.express_usd if express else one.calls_usd) + make_bill({}, usage).total


def _rounded(value: float) -> float:
    """To a few digits, so that the same model is the same bundle on every machine."""
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else 0.0
