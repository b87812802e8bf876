"""`fsd cloud up | down | status | env`, and `fsd demo`."""

from __future__ import annotations

import argparse
import os
import shlex
from typing import Any

from client.cloud import ROOT, EmbeddedCloud, client_environment

_BIN = (ROOT / "node_modules" / ".bin", ROOT / ".venv" / "bin")


def add_commands(commands: Any) -> None:
    """Add `cloud` and `demo`."""
    demo = commands.add_parser("demo", help="deploy to an embedded cloud of its own and run two models")
    demo.set_defaults(run=_demo)
    cloud = commands.add_parser("cloud", help="the embedded cloud on this machine")
    actions = cloud.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, run, text in (
        ("up", _up, "start it, unless it runs"),
        ("down", _down, "stop it and every function process"),
        ("status", _status, "say whether it runs, and where"),
        ("env", _env, 'print what a shell needs: eval "$(fsd cloud env)"'),
    ):
        actions.add_parser(name, help=text).set_defaults(run=run)


def _demo(options: argparse.Namespace) -> int:
    del options
    from client.demo import run_demo

    return 0 if run_demo() else 1


def _up(options: argparse.Namespace) -> int:
    del options
    # Emulator settings of the caller's, such as a lower account concurrency, reach the emulator.
    passed = {name: value for name, value in os.environ.items() if name.startswith("LAMBDA_") or name == "AUTH"}
    state = EmbeddedCloud().up(environment=passed)
    print(f"embedded cloud: {state.endpoint} (process {state.pid})")
    return 0


def _down(options: argparse.Namespace) -> int:
    del options
    print("embedded cloud: stopped" if EmbeddedCloud().down() else "embedded cloud: was not running")
    return 0


def _status(options: argparse.Namespace) -> int:
    del options
    state = EmbeddedCloud().status()
    print(f"embedded cloud: {state.endpoint} (process {state.pid})" if state else "embedded cloud: not running")
    return 0 if state else 1


def _env(options: argparse.Namespace) -> int:
    del options
    settings = client_environment(EmbeddedCloud().require())
    for name, value in settings.items():
        print(f"export {name}={shlex.quote(value)}")
    print("unset AWS_PROFILE AWS_SESSION_TOKEN")
    print(f"export PATH={':'.join(shlex.quote(str(folder)) for folder in _BIN)}:$PATH")
    return 0
