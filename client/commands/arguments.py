"""Arguments that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from client.errors import UsageError


def add_compile_arguments(command: argparse.ArgumentParser) -> None:
    """How to divide a model: --workers, --strategy, --precision, --option."""
    command.add_argument("--workers", type=int, default=1, metavar="P", help="number of ranks (default 1)")
    command.add_argument("--strategy", default="auto", help="serial, batch, row, column or auto (default)")
    command.add_argument("--precision", default="exact", help="of floats between ranks: exact, fp16, bf16, int8")
    command.add_argument("--option", action="append", default=[], metavar="K=V", help="option of a zoo model")


def parse_options(pairs: Sequence[str]) -> dict[str, str]:
    """{"layers": "12"} from ["layers=12"].

    Raises:
        UsageError: a pair without "=".
    """
    options = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"--option: expected NAME=VALUE, got {pair!r}")
        options[name] = value
    return options
