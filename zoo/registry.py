"""Finds cards by name: the built-in ones below, and those of plugins, by entry points of the group `fsd.zoo`.

A card's module is imported when the card is asked for, not before. A plugin that fails harms nobody else.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Mapping
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from zoo.card import NAME_PATTERN, Card
from zoo.errors import PluginError, PluginWarning, UnknownCard

GROUP = "fsd.zoo"

BUILT_IN: Mapping[str, str] = {
    "decoder": "zoo.networks.decoder:decoder",
    "digits-mlp": "zoo.digits:digits_mlp",
    "encoder": "zoo.networks.encoder:encoder",
    "experts": "zoo.networks.experts:experts",
    "graphchallenge-1024": "zoo.graphchallenge:graphchallenge_1024",
    "graphchallenge-4096": "zoo.graphchallenge:graphchallenge_4096",
    "graphchallenge-16384": "zoo.graphchallenge:graphchallenge_16384",
    "graphchallenge-65536": "zoo.graphchallenge:graphchallenge_65536",
    "lstm": "zoo.networks.lstm:lstm",
    "mobilenet": "zoo.networks.mobilenet:mobilenet",
    "recommender": "zoo.networks.recommender:recommender",
    "resnet": "zoo.networks.resnet:resnet",
    "unet": "zoo.networks.unet:unet",
    "vit": "zoo.networks.vit:vit",
}

HOW_TO_ADD = f"a package adds one by an entry point of the group {GROUP!r}: docs/zoo.md"


def card_names() -> tuple[str, ...]:
    """Names of all cards, sorted; imports none of them."""
    return tuple(sorted(_claims()))


def get_card(name: str) -> Card[Any]:
    """The card of that name; imports its module only.

    Raises:
        UnknownCard: there is none; the message lists the known ones and says how to add one.
        PluginError: its plugin fails, or several plugins have the name.
    """
    claims = _claims()
    if name not in claims:
        raise UnknownCard(_unknown(name, sorted(claims)))
    return _load(name, claims[name])


def list_cards() -> tuple[Card[Any], ...]:
    """All cards, by name; a plugin that fails is left out with a PluginWarning."""
    loaded = [_load_or_warn(name, claims) for name, claims in sorted(_claims().items())]
    return tuple(card for card in loaded if card is not None)


def _claims() -> dict[str, list[EntryPoint]]:
    """Entry points by card name; a built-in name belongs to the built-in card alone."""
    claims: dict[str, list[EntryPoint]] = defaultdict(list)
    for entry in entry_points(group=GROUP):
        if entry.name in BUILT_IN:
            _warn(f"{_owner(entry)} offers a card {entry.name!r}: the name is taken by a built-in card, ignored")
        else:
            claims[entry.name].append(entry)
    built_in = {name: [EntryPoint(name, value, GROUP)] for name, value in BUILT_IN.items()}
    return {**claims, **built_in}


def _load(name: str, claims: list[EntryPoint]) -> Card[Any]:
    if len(claims) > 1:
        raise PluginError(
            f"card {name!r} is offered by {' and '.join(sorted(map(_owner, claims)))}: remove all but one"
        )
    return _load_entry(claims[0])


def _load_entry(entry: EntryPoint) -> Card[Any]:
    try:
        card = entry.load()
    except Exception as error:  # a plugin may raise anything at import
        raise PluginError(f"card {entry.name!r} of {_owner(entry)} does not load: {_one_line(error)}") from error
    if not isinstance(card, Card):
        raise PluginError(f"card {entry.name!r} of {_owner(entry)}: expected a zoo.Card object, got {_one_line(card)}")
    if card.name != entry.name or not NAME_PATTERN.fullmatch(card.name):
        raise PluginError(
            f"card {entry.name!r} of {_owner(entry)}: expected the card's own name to be the entry point's"
            f" and to match {NAME_PATTERN.pattern}, got {card.name!r}"
        )
    return card


def _load_or_warn(name: str, claims: list[EntryPoint]) -> Card[Any] | None:
    try:
        return _load(name, claims)
    except PluginError as error:
        _warn(f"{error}; left out")
        return None


def _owner(entry: EntryPoint) -> str:
    """`distribution 1.2 (module:object)`, for messages."""
    dist = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "fsd"
    return f"{dist} ({entry.value})"


def _unknown(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"unknown card {name!r}{hint}; known cards: {', '.join(known)}; {HOW_TO_ADD}"


def _one_line(value: object) -> str:
    text = f"{type(value).__name__}: {value}" if isinstance(value, Exception) else repr(value)
    return " ".join(text.split())[:200]


def _warn(message: str) -> None:
    warnings.warn(message, PluginWarning, stacklevel=3)
