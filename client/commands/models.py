"""`fsd register`, `fsd models`, `fsd alias`, `fsd rollback`, `fsd rm`, `fsd collect`."""

from __future__ import annotations

import argparse
import json
from typing import Any

from client.api import Client
from client.commands.arguments import add_compile_arguments, division, parse_options
from client.progress import busy


def add_commands(commands: Any) -> None:
    """Add `register`, `models`, `alias`, `rollback`, `rm` and `collect`."""
    register = commands.add_parser("register", help="compile a model into shards and upload it")
    register.add_argument("model", help="zoo name, FILE.onnx, s3://bucket/key.onnx, hf:OWNER/NAME[:FILE] or hub:NAME")
    register.add_argument("--name", default="", help="what to call it; default: the card's name or the file's stem")
    add_compile_arguments(register)
    register.add_argument("--json", action="store_true", help="print the new model's entry as JSON")
    register.set_defaults(run=_register)
    models = commands.add_parser("models", help="list the registered models")
    models.add_argument("--json", action="store_true", help="print JSON")
    models.set_defaults(run=_models)
    alias = commands.add_parser("alias", help="give a version of a model one more name")
    alias.add_argument("name", help="the new name, or one that is to point elsewhere")
    alias.add_argument("model", metavar="MODEL[@BUNDLE]", help="a registered model, and its bundle's first digits")
    alias.set_defaults(run=_alias)
    rollback = commands.add_parser("rollback", help="point a name at a version that it had before")
    rollback.add_argument("model")
    rollback.add_argument("--to", default="", metavar="BUNDLE", help="its id or first digits; default: the newest")
    rollback.set_defaults(run=_roll_back)
    remove = commands.add_parser("rm", help="forget a registered model")
    remove.add_argument("model")
    remove.set_defaults(run=_remove)
    collect = commands.add_parser("collect", help="remove bundles that no name has and no run reads")
    collect.set_defaults(run=_collect)


def _register(options: argparse.Namespace) -> int:
    client = Client()
    wanted = division(options)
    with busy(f"compiling {options.model} for {wanted.ranks} workers"):
        entry = client.register(
            options.model,
            name=options.name,
            division=wanted,
            options=parse_options(options.option),
        )
    print(json.dumps(entry, indent=2) if options.json else f"registered {_line(entry)}")
    return 0


def _models(options: argparse.Namespace) -> int:
    entries = Client().models()
    if options.json:
        print(json.dumps(entries, indent=2))
    else:
        print("\n".join(_line(entry) for entry in entries) or "no models registered: `fsd register digits-mlp`")
    return 0


def _roll_back(options: argparse.Namespace) -> int:
    print(f"rolled back to {_line(Client().roll_back(options.model, options.to))}")
    return 0


def _alias(options: argparse.Namespace) -> int:
    print(f"{options.name} is {_line(Client().alias(options.name, options.model))}")
    return 0


def _collect(_options: argparse.Namespace) -> int:
    removed = Client().collect()
    print("\n".join(f"removed bundle {bundle}" for bundle in removed) or "no bundle is unused")
    return 0


def _remove(options: argparse.Namespace) -> int:
    Client().remove(options.model)
    print(f"removed {options.model}")
    return 0


def _line(entry: dict[str, Any]) -> str:
    def signature(specs: list[dict[str, Any]]) -> str:
        return ", ".join(f"{spec['name']} {spec['dtype']}[{', '.join(map(str, spec['shape']))}]" for spec in specs)

    return (
        f"{entry['name']}@{entry['bundle'][:8]} {entry['version']}: {entry['strategy']} x {entry['workers']}, "
        f"{signature(entry['inputs'])} -> {signature(entry['outputs'])}, "
        f"{max(entry['shard_bytes'])} of {entry['model_weight_bytes']} weight bytes in the largest shard"
        + (f"; before: {', '.join(bundle[:8] for bundle in entry['former'])}" if entry["former"] else "")
    )
