"""`fsd zoo`: the models that need no file, and inputs for them."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from client.commands.arguments import parse_options
from client.errors import UsageError
from zoo.registry import get_card, list_cards


def add_commands(commands: Any) -> None:
    """Add `zoo`."""
    zoo = commands.add_parser("zoo", help="list the zoo's models and their options")
    zoo.add_argument("model", nargs="?", default="", help="the one to list, or to write inputs for; default: all")
    zoo.add_argument("--inputs", type=Path, metavar="X.npz", help="write inputs for the model, for `fsd infer --input`")
    zoo.add_argument("--count", type=int, default=4, help="number of examples (default 4)")
    zoo.add_argument("--option", action="append", default=[], metavar="K=V", help="option of the model")
    zoo.add_argument("--json", action="store_true", help="print JSON")
    zoo.set_defaults(run=_zoo)


def _zoo(options: argparse.Namespace) -> int:
    if options.inputs:
        return _write_inputs(options)
    cards = [get_card(options.model)] if options.model else list_cards()
    if options.json:
        entries = [
            {"name": card.name, "summary": card.summary, "options": [_plain(asdict(spec)) for spec in card.specs]}
            for card in cards
        ]
        print(json.dumps(entries, indent=2))
        return 0
    for card in cards:
        print(f"{card.name}: {card.summary}")
        for spec in card.specs:
            print(f"  --option {spec.name}={spec.default}  {spec.help}")
    return 0


def _write_inputs(options: argparse.Namespace) -> int:
    if not options.model:
        raise UsageError("--inputs: expected the name of a model to write them for, got none")
    card = get_card(options.model)
    arrays = card.inputs(card.parse(parse_options(options.option)), options.count)
    try:
        with options.inputs.open("wb") as file:  # np.savez would add a suffix to a path
            np.savez(file, allow_pickle=False, **arrays)
    except OSError as error:
        raise UsageError(f"--inputs {options.inputs}: {error.strerror}") from None
    shown = (f"{name} {array.dtype}{list(array.shape)}" for name, array in arrays.items())
    print(f"wrote {options.inputs}: {', '.join(shown)}")
    return 0


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    plain = (str, int, float, bool, type(None))
    return {
        name: value if isinstance(value, plain) else getattr(value, "__name__", str(value))
        for name, value in fields.items()
    }
