"""The bill: counted calls and Lambda usage times list prices.

Free tiers, storage, log ingestion and transfer out of the region are left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from costs.calls import CallCounts
from costs.errors import UnknownPriceError
from costs.prices import REGION, Price, prices_for
from costs.rules import price_name, transfer_price_name
from costs.usage import LambdaUsage

SERVICES = ("lambda", "s3", "sns", "sqs")
_GB = 1 << 30
_PUBLISHES = ("sns:Publish", "sns:PublishBatch")


@dataclass(frozen=True)
class BillLine:
    """One line of a bill.

    what:     operation, or kind of Lambda usage.
    quantity: how many of `unit` are charged.
    usd:      quantity times the price.
    """

    service: str
    what: str
    quantity: float
    unit: str
    usd: float


@dataclass(frozen=True)
class Bill:
    """What a run costs at list prices.

    region:              whose prices.
    lines:               every charged quantity, by service and name.
    sns_to_sqs:          bytes from SNS to SQS; whether AWS charges them inside a region is not confirmed.
    includes_sns_to_sqs: whether `usd` has them.
    """

    region: str
    lines: tuple[BillLine, ...]
    sns_to_sqs: BillLine
    includes_sns_to_sqs: bool = False

    @property
    def charged(self) -> tuple[BillLine, ...]:
        """The lines that make up `usd`."""
        return (*self.lines, self.sns_to_sqs) if self.includes_sns_to_sqs else self.lines

    @property
    def usd(self) -> dict[str, float]:
        """US dollars per service, and their "total"."""
        sums = {service: _usd(line for line in self.charged if line.service == service) for service in SERVICES}
        return {**sums, "total": self.total}

    @property
    def total(self) -> float:
        """US dollars, all services."""
        return _usd(self.charged)

    @property
    def total_both_ways(self) -> tuple[float, float]:
        """US dollars without and with the bytes from SNS to SQS."""
        return _usd(self.lines), _usd((*self.lines, self.sns_to_sqs))

    def to_json(self) -> dict[str, object]:
        """Plain JSON: region, usd, sns_to_sqs (off and on), lines."""
        off, on = self.total_both_ways
        switch = {"bytes": int(self.sns_to_sqs.quantity), "usd": self.sns_to_sqs.usd}
        switch |= {"included": self.includes_sns_to_sqs, "total_without": off, "total_with": on}
        return {
            "region": self.region,
            "usd": self.usd,
            "sns_to_sqs": switch,
            "lines": [asdict(line) for line in self.lines],
        }


def make_bill(
    calls: CallCounts,
    lambda_usage: Sequence[LambdaUsage],
    *,
    region: str = REGION,
    prices: Mapping[str, Price] | None = None,
    include_sns_to_sqs: bool = False,
) -> Bill:
    """Price counted calls and invocations.

    calls:        counts by "service:Operation"; Lambda's own calls cost nothing, the invocations they start do.
    lambda_usage: one entry per invocation.
    prices:       price table; None = the table of `region`.

    Raises:
        UnknownPriceError: no prices for the region, or no rule for an operation or architecture.
    """
    table = prices_for(region) if prices is None else prices
    lines = (*_lambda_lines(lambda_usage, table), *_call_lines(calls, table))
    return Bill(region, lines, _sns_to_sqs_line(calls, table), include_sns_to_sqs)


def _usd(lines: Iterable[BillLine]) -> float:
    return math.fsum(line.usd for line in lines)


def _line(service: str, what: str, quantity: float, price: Price) -> BillLine:
    return BillLine(service, what, quantity, price.unit, quantity * price.usd)


def _lambda_lines(usage: Sequence[LambdaUsage], table: Mapping[str, Price]) -> list[BillLine]:
    if not usage:
        return []
    architectures = sorted({one.architecture for one in usage})
    seconds = {name: math.fsum(one.gb_seconds for one in usage if one.architecture == name) for name in architectures}
    lines = [_line("lambda", name, seconds[name], _price(table, f"lambda.gb_second.{name}")) for name in architectures]
    return [*lines, _line("lambda", "invocations", len(usage), _price(table, "lambda.request"))]


def _call_lines(calls: CallCounts, table: Mapping[str, Price]) -> list[BillLine]:
    priced = [(name, count.units, price_name(name)) for name, count in sorted(calls.items())]
    moved = [(name, count.bytes / _GB, transfer_price_name(name)) for name, count in sorted(calls.items())]
    return [_line(*_split(name), quantity, _price(table, price)) for name, quantity, price in priced + moved if price]


def _split(operation: str) -> tuple[str, str]:
    """Service and what of it; S3 Express One Zone is part of S3."""
    service, _, action = operation.partition(":")
    return ("s3", f"express {action}") if service == "s3express" else (service, action)


def _sns_to_sqs_line(calls: CallCounts, table: Mapping[str, Price]) -> BillLine:
    """Each publish counted once, as the paper does: a message that a filter sends to several queues is undercounted."""
    published = sum(calls[name].bytes for name in _PUBLISHES if name in calls)
    return _line("sns", "bytes to SQS", published, _price(table, "sns.to_sqs_byte"))


def _price(table: Mapping[str, Price], name: str) -> Price:
    try:
        return table[name]
    except KeyError:
        raise UnknownPriceError(f"prices: no entry {name!r}; on file: {sorted(table)}") from None
