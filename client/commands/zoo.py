"""`fsd zoo`: the models that need no file."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from zoo.registry import list_cards


def add_commands(commands: Any) -> None:
    """Add `zoo`."""
    zoo = commands.add_parser("zoo", help="list the zoo's models and their options")
    zoo.add_argument("--json", action="store_true", help="print JSON")
    zoo.set_defaults(run=_zoo)


def _zoo(options: argparse.Namespace) -> int:
    cards = list_cards()
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


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    plain = (str, int, float, bool, type(None))
    return {
        name: value if isinstance(value, plain) else getattr(value, "__name__", str(value))
        for name, value in fields.items()
    }
