"""Calls and bills as rows of text, and rows as an aligned table."""

from __future__ import annotations

from collections.abc import Sequence

from costs.bill import SERVICES, Bill
from costs.calls import CallCounts

Row = tuple[str, ...]


def calls_rows(calls: CallCounts) -> list[Row]:
    """A heading and one row per operation: operation, requests, units, bytes."""
    counts = [(name, f"{one.requests:,}", f"{one.units:,}", f"{one.bytes:,}") for name, one in sorted(calls.items())]
    return [("operation", "requests", "units", "bytes"), *counts]


def usd_rows(bill: Bill) -> list[Row]:
    """A heading, one row per service, the total, and the total the other way round the SNS-to-SQS switch."""
    usd = bill.usd
    off, on = bill.total_both_ways
    other = ("total without SNS to SQS bytes", off) if bill.includes_sns_to_sqs else ("total with SNS to SQS bytes", on)
    amounts = [*((service, usd[service]) for service in SERVICES), ("total", bill.total), other]
    return [("service", "USD"), *((name, f"{amount:.8f}") for name, amount in amounts)]


def line_rows(bill: Bill) -> list[Row]:
    """A heading and one row per line of the bill: service, what, quantity, unit, USD."""
    lines = [(one.service, one.what, _quantity(one.quantity), one.unit, f"{one.usd:.8f}") for one in bill.lines]
    return [("service", "what", "quantity", "unit", "USD"), *lines]


def text_table(rows: Sequence[Row]) -> str:
    """Rows as aligned text: the first column to the left, the others to the right.

    Raises:
        ValueError: rows of different lengths.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_text_row(row, widths) for row in rows)


def _text_row(row: Row, widths: Sequence[int]) -> str:
    cells = [
        cell.ljust(width) if i == 0 else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def _quantity(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:,.3f}"
