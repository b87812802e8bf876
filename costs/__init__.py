"""Prices, limits and pricing rules, each with unit, region, source and date; the meter; the bill."""

from costs.bill import Bill, BillLine, make_bill
from costs.calls import CallCount, CallCounts, at_least, calls_from_json, calls_to_json, merge, subtract
from costs.errors import CostError, MalformedUsageError, UnknownPriceError
from costs.hook import attach
from costs.limits import Limit
from costs.logs import RunUsage, UsageRecord, gather, gather_all, parse_usage_line, usage_line
from costs.meter import Meter
from costs.prices import PRICES, Price, prices_for
from costs.rules import billed_units
from costs.usage import LambdaUsage, is_report, parse_report

__all__ = [
    "PRICES",
    "Bill",
    "BillLine",
    "CallCount",
    "CallCounts",
    "CostError",
    "LambdaUsage",
    "Limit",
    "MalformedUsageError",
    "Meter",
    "Price",
    "RunUsage",
    "UnknownPriceError",
    "UsageRecord",
    "at_least",
    "attach",
    "billed_units",
    "calls_from_json",
    "calls_to_json",
    "gather",
    "gather_all",
    "is_report",
    "make_bill",
    "merge",
    "parse_report",
    "parse_usage_line",
    "prices_for",
    "subtract",
    "usage_line",
]
