"""What can be done about a run by its id: `fsd retry`, `fsd cancel`, `fsd bill`, `fsd logs`."""

from __future__ import annotations

import argparse
import json
from typing import Any

from client.api import Client
from client.commands.runs import add_output, show_answer
from client.logs import show
from client.tables import bill_lines


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    retry = commands.add_parser("retry", help="send the request of a run that failed once more, or list such runs")
    retry.add_argument("run_id", metavar="RUN", nargs="?", default="")
    retry.add_argument("--no-wait", action="store_true", help="print the run id when the run takes long")
    add_output(retry)
    retry.set_defaults(run=_retry)
    for name, act, help in (
        ("cancel", _cancel, "end a run"),
        ("bill", _bill, "what a run cost, from its logs"),
        ("logs", _logs, "what all ranks of a run wrote, by time"),
    ):
        command = commands.add_parser(name, help=help)
        command.add_argument("run_id", metavar="RUN")
        command.add_argument("--json", action="store_true", help="print JSON")
        command.set_defaults(run=act)


def _retry(options: argparse.Namespace) -> int:
    if options.run_id:
        return show_answer(Client().retry(options.run_id, wait=not options.no_wait), options)
    letters = Client().dead_letters()
    lines = [
        f"run {one['run_id']}  {one['model']}  {one['error']['type']}: {one['error']['message']}" for one in letters
    ]
    print(json.dumps(letters, indent=2) if options.json else "\n".join(lines) or "no run has failed")
    return 0


def _cancel(options: argparse.Namespace) -> int:
    answer = Client().cancel(options.run_id)
    print(json.dumps(answer, indent=2) if options.json else f"run {options.run_id}: {answer['status']}")
    return 0


def _bill(options: argparse.Namespace) -> int:
    found = Client().bill(options.run_id)
    print(json.dumps(found.to_json(), indent=2) if options.json else "\n".join(bill_lines(found.to_json())))
    return 0


def _logs(options: argparse.Namespace) -> int:
    lines = Client().logs(options.run_id)
    print("\n".join(json.dumps(line.to_json()) if options.json else show(line) for line in lines))
    return 0
