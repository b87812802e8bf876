"""`fsd infer`, `fsd result`."""

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
from client.tables import answer_lines
from runs.request import AUTO, CHANNELS, PREFERENCES


def add_commands(commands: Any) -> None:
    """Add `infer` and `result`."""
    infer = commands.add_parser("infer", help="run a registered model")
    infer.add_argument("model")
    infer.add_argument("--input", required=True, type=Path, metavar="X.npz", help="one array per input, by name")
    infer.add_argument("--outputs", nargs="+", metavar="NAME", help="the outputs wanted; default: all")
    kinds = ", ".join(CHANNELS)
    infer.add_argument("--channel", default="", help=f"how tensors travel between ranks: {kinds}, or {AUTO}")
    infer.add_argument("--prefer", default="", help=f"what the run makes small: {' or '.join(PREFERENCES)}")
    infer.add_argument("--run-id", default="", metavar="ID", help="32 hex digits: a request sent twice is one run")
    infer.add_argument("--idempotency-key", default="", metavar="KEY", help="any text: one stored result per key")
    _add_limits(infer)
    infer.add_argument("--no-wait", action="store_true", help="print the run id when it takes longer than --wait-s")
    infer.add_argument("--async", action="store_true", dest="detached", help="print the run id at once")
    add_output(infer)
    infer.set_defaults(run=_infer)
    result = commands.add_parser("result", help="fetch the answer of a run")
    result.add_argument("run_id", metavar="RUN")
    result.add_argument("--wait", action="store_true", help="wait until the run has ended")
    add_output(result)
    result.set_defaults(run=_result)


def _add_limits(infer: argparse.ArgumentParser) -> None:
    limits = {
        "--wait-s": ("S", "`infer` answers within S seconds, then the run goes on"),
        "--deadline-s": ("S", "the run ends within S seconds"),
        "--max-usd": ("USD", "refuse the run if it must cost more"),
    }
    for name, (unit, help) in limits.items():
        infer.add_argument(name, type=float, metavar=unit, help=help)


def add_output(command: argparse.ArgumentParser) -> None:
    """Add how an answer is to be shown."""
    command.add_argument("--output", type=Path, metavar="Y.npz", help="where to write the outputs")
    command.add_argument("--json", action="store_true", help="print JSON")


def _infer(options: argparse.Namespace) -> int:
    inputs = read_npz(options.input)
    names = ("channel", "prefer", "outputs", "wait_s", "deadline_s", "idempotency_key", "max_usd")
    fields = {name: getattr(options, name) for name in names}
    given = {name: value for name, value in fields.items() if value not in (None, "")}
    if options.detached:
        given["async"] = True
    client, wait = Client(), not (options.no_wait or options.detached)
    with busy(f"running {options.model}"):
        answer = client.infer(options.model, inputs, run_id=options.run_id, wait=wait, **given)
    return show_answer(answer, options)


def _result(options: argparse.Namespace) -> int:
    return show_answer(Client().result(options.run_id, wait=options.wait), options)


def show_answer(answer: Answer, options: argparse.Namespace) -> int:
    """Print an answer, or write its outputs, as `add_output`'s options say; the exit status."""
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
