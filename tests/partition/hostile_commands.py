"""Every command on one file, in a process of its own: prints a JSON line of what each answered.

Of many files, each line of stdin names one, {"path": ..., "home": ..., "limit_s": ...}; the process that reads them has
imported everything already, and forks for each. A line {"ended": <wait status>} follows the answers.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from bundle.store import FolderStore
from client import cli
from partition import CompileError

COMMANDS = ("verify", "plan", "register", "run_split")
_DIVISION = ["--workers", "2", "--strategy", "row"]


def answer(command: str, path: str) -> dict[str, Any]:
    """Exit status, and what was said on stderr; of run_split the type of what it raised."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        status = _run_split(path) if command == "run_split" else _fsd([command, path, *_DIVISION])
    return {"command": command, "status": status, "said": said.getvalue()}


def _fsd(arguments: list[str]) -> int:
    """The command itself; what is registered goes to a folder."""
    with tempfile.TemporaryDirectory() as folder:
        stored = mock.patch("client.api.S3Store", return_value=FolderStore(folder))
        with stored, mock.patch("client.api.find_stage", mock.MagicMock()):
            return cli.main(arguments)


def _run_split(path: str) -> int:
    """2 where the function refuses the model as it should: by a CompileError."""
    from client.verify import reference, run_split
    from client.verify_inputs import random_inputs
    from partition.compile import Options, compile_model

    model = Path(path)
    try:
        with tempfile.TemporaryDirectory() as folder:
            manifest = compile_model(model, "row", 2, Path(folder), options=Options()).manifest
        inputs = random_inputs(manifest.inputs)
        expected = reference(model, inputs)
        got = run_split(model, inputs, 2, "row")
        return 0 if expected.keys() == got.keys() else 1
    except CompileError as error:
        print(f"fsd: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def answer_all(path: str) -> None:
    """Print what every command answers."""
    for name in COMMANDS:
        print(json.dumps(answer(name, path)), flush=True)


def serve() -> None:
    """Answer for each file that stdin names, in a fork that ends with it."""
    import client.verify  # noqa: F401 - what the commands import when they run, once

    for line in sys.stdin:
        request = json.loads(line)
        if not (child := os.fork()):
            signal.alarm(request["limit_s"])
            os.environ["HOME"] = request["home"]
            answer_all(request["path"])
            os._exit(0)
        print(json.dumps({"ended": os.waitpid(child, 0)[1]}), flush=True)


if __name__ == "__main__":
    serve()
