"""`fsd verify`: compile a model, run all its ranks in this process, and compare with onnxruntime."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from client.commands.arguments import add_compile_arguments, division, parse_options
from client.commands.runs import read_npz
from client.progress import busy
from zoo.sources import locate, sample

EXAMPLES = 5  # of a card: uneven for 2 and 3 ranks


def add_commands(commands: Any) -> None:
    """Add `verify`."""
    command = commands.add_parser("verify", help="compare a split model with onnxruntime, in this process")
    command.add_argument("model", help="zoo name, FILE.onnx, hf:OWNER/NAME[:FILE] or hub:NAME")
    add_compile_arguments(command)
    command.add_argument(
        "--inputs",
        type=Path,
        metavar="X.npz",
        help="inputs; default: those of the card, for a file seeded random numbers",
    )
    command.add_argument("--processes", action="store_true", help="each rank in a process of its own: its real peak")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_verify)


def _verify(options: argparse.Namespace) -> int:
    from client.verify import verify

    given = parse_options(options.option)
    inputs = read_npz(options.inputs) if options.inputs else sample(options.model, given, EXAMPLES)
    with tempfile.TemporaryDirectory(prefix="fsd-") as folder, busy(f"verifying {options.model}"):
        path = locate(options.model, given, Path(folder))
        wanted = division(options)
        report = verify(path, inputs, wanted.ranks, wanted.strategy, wanted.options(), processes=options.processes)
    if options.json:
        print(report.to_json())
    else:
        print("\n".join(f"{name}: {value}" for name, value in json.loads(report.to_json()).items()))
    return 0 if report.ok else 1
