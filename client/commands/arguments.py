"""Arguments that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from client.errors import UsageError

if TYPE_CHECKING:
    from client.division import Division

STRATEGY_HELP = "auto (default), serial, batch, row, column, tensor, pipeline, or a grid such as batch=2,row=4"


def add_compile_arguments(command: argparse.ArgumentParser) -> None:
    """How to divide a model: workers, strategy, precision, limits, expected sizes, options of a zoo card."""
    command.add_argument("--workers", type=int, metavar="P", help="number of ranks; default: the grid's product, or 1")
    command.add_argument("--strategy", default="auto", help=STRATEGY_HELP)
    command.add_argument("--precision", default="exact", help="of floats between ranks: exact, fp16, bf16, int8")
    command.add_argument("--memory-mb", type=float, metavar="M", help="at most M MiB of weights on a worker")
    command.add_argument(
        "--weight-share", type=float, metavar="S", help="at most S even shares of the weights on a worker, 1.1 say"
    )
    command.add_argument(
        "--merge-rows", action="store_true", help="compute neurons of sparse layers that are equal once"
    )
    command.add_argument(
        "--set", action="append", default=[], metavar="DIM=N", help="size to expect where requests choose it"
    )
    command.add_argument("--option", action="append", default=[], metavar="K=V", help="option of a zoo model")


def division(options: argparse.Namespace) -> Division:
    """How the arguments want a model divided."""
    from client.division import Division  # the compiler takes half a second to import

    sizes = parse_pairs(options.set, "--set")
    limits = (options.memory_mb, options.weight_share)
    return Division(options.strategy, options.workers, *limits, sizes, options.precision, options.merge_rows)


def parse_options(pairs: Sequence[str]) -> dict[str, str]:
    """{"layers": "12"} from ["layers=12"].

    Raises:
        UsageError: a pair without "=".
    """
    return parse_pairs(pairs, "--option")


def parse_pairs(pairs: Sequence[str], argument: str) -> dict[str, str]:
    """Names and values of a repeated argument.

    Raises:
        UsageError: a pair without "=".
    """
    options = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"{argument}: expected NAME=VALUE, got {pair!r}")
        options[name] = value
    return options
