"""Every command on one file, in this process: prints a JSON line of what each answered."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
import time
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
    began, said = time.process_time(), io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        status = _run_split(path) if command == "run_split" else _fsd([command, path, *_DIVISION])
    return {"command": command, "status": status, "said": said.getvalue(), "seconds": time.process_time() - began}


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


if __name__ == "__main__":
    for name in sys.argv[2:] or COMMANDS:
        print(json.dumps(answer(name, sys.argv[1])), flush=True)
