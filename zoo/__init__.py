"""Which models exist: cards, their registry, one family of models per file."""

from __future__ import annotations

from zoo.card import Arrays, Card, Examples, Verdict
from zoo.errors import DataError, OptionError, PluginError, PluginWarning, TooLarge, UnknownCard, ZooError
from zoo.options import NoOptions, OptionSpec, option
from zoo.registry import card_names, get_card, list_cards

__all__ = [
    "Arrays",
    "Card",
    "DataError",
    "Examples",
    "NoOptions",
    "OptionError",
    "OptionSpec",
    "PluginError",
    "PluginWarning",
    "TooLarge",
    "UnknownCard",
    "Verdict",
    "ZooError",
    "card_names",
    "get_card",
    "list_cards",
    "option",
]
