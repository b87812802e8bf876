"""`fsd infer`, `fsd result`, `fsd bill`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.api import Answer, Client
from client.errors import UsageError
from client.progress import busy
from client.tables import answer_lines, bill_lines
from runs.request import CHANNELS


def add_commands(commands: Any) -> None:
    """Add `infer`, `result` and `bill`."""
    infer = commands.add_parser("infer", help="run a registered model")
    infer.add_argument("model")
    infer.add_argument("--input", required=True, type=Path, metavar="X.npz", help="one array per input, by name")
    infer.add_argument("--output", type=Path, metavar="Y.npz", help="where to write the outputs")
    infer.add_argument("--outputs", nargs="+", metavar="NAME", help="the outputs wanted; default: all")
    infer.add_argument("--channel", default="", help=f"how tensors travel between ranks: {' or '.join(CHANNELS)}")
    infer.add_argument("--run-id", default="", metavar="ID", help="32 hex digits: a request sent twice is one run")
    infer.add_argument(
        "--wait-s", type=float, metavar="S", help="`infer` answers within S seconds, then the run goes on"
    )
    infer.add_argument("--deadline-s", type=float, metavar="S", help="the run ends within S seconds")
    infer.add_argument("--no-wait", action="store_true", help="print the run id when it takes longer than --wait-s")
    infer.add_argument("--async", action="store_true", dest="detached", help="print the run id at once")
    infer.set_defaults(run=_infer)
    result = commands.add_parser("result", help="fetch the answer of a run")
    result.add_argument("run_id", metavar="RUN")
    result.add_argument("--output", type=Path, metavar="Y.npz", help="where to write the outputs")
    result.add_argument("--wait", action="store_true", help="wait until the run has ended")
    result.set_defaults(run=_result)
    bill = commands.add_parser("bill", help="what a run cost, from its logs")
    bill.add_argument("run_id", metavar="RUN")
    bill.set_defaults(run=_bill)
    for command in (infer, result, bill):
        command.add_argument("--json", action="store_true", help="print JSON")


def _infer(options: argparse.Namespace) -> int:
    inputs = read_npz(options.input)
    fields = {name: getattr(options, name) for name in ("channel", "outputs", "wait_s", "deadline_s")}
    given = {name: value for name, value in fields.items() if value not in (None, "")}
    if options.detached:
        given["async"] = True
    client, wait = Client(), not (options.no_wait or options.detached)
    with busy(f"running {options.model}"):
        answer = client.infer(options.model, inputs, run_id=options.run_id, wait=wait, **given)
    return _show(answer, options)


def _result(options: argparse.Namespace) -> int:
    return _show(Client().result(options.run_id, wait=options.wait), options)


def _bill(options: argparse.Namespace) -> int:
    found = Client().bill(options.run_id)
    print(json.dumps(found.to_json(), indent=2) if options.json else "\n".join(bill_lines(found.to_json())))
    return 0


def _show(answer: Answer, options: argparse.Namespace) -> int:
    if options.output and answer.outputs:
        np.savez(options.output, **dict(answer.outputs))  # type: ignore[arg-type]
    if options.json:
        print(json.dumps(answer.figures, indent=2))
        return 0
    for name, array in answer.outputs.items():
        print(f"{name} {array.dtype}{list(array.shape)}")
        if not options.output:
            print(np.array2string(array, threshold=100, precision=4))
    print("\n".join(answer_lines(answer.figures)))
    return 0


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file.

    Raises:
        UsageError: no such file, or no .npz of plain arrays.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise UsageError(f"{path}: expected an .npz with one array per input, got a single array")
            return {name: arrays[name] for name in arrays.files}
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except (ValueError, OSError, EOFError) as error:
        raise UsageError(f"{path}: expected an .npz of arrays without objects: {error}") from None
