"""`fsd plan`: how a model would be divided, and what a request would then send, take and cost."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from client.commands.arguments import add_compile_arguments, division, parse_options
from client.progress import busy
from zoo.sources import locate


def add_commands(commands: Any) -> None:
    """Add `plan`."""
    command = commands.add_parser("plan", help="how a model would be divided, and what that sends and costs")
    command.add_argument("model", help="zoo name, FILE.onnx, hf:OWNER/NAME[:FILE] or hub:NAME")
    add_compile_arguments(command)
    command.add_argument("--function-mb", type=int, metavar="M", help="memory of a function (default: the stage's)")
    command.add_argument("--express", action="store_true", help="objects lie in S3 Express One Zone, as of expressZone")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_plan)


def _plan(options: argparse.Namespace) -> int:
    from client.plan import plan_lines, plan_model

    wanted = division(options)
    memory = {} if options.function_mb is None else {"function_mb": options.function_mb}
    with tempfile.TemporaryDirectory(prefix="fsd-") as folder, busy(f"planning {options.model}"):
        path = locate(options.model, parse_options(options.option), Path(folder))
        plan = plan_model(path, wanted, express=options.express, **memory)
    print(json.dumps(plan, indent=2) if options.json else "\n".join(plan_lines(plan)))
    return 0
