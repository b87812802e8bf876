"""What the harness runs: small models, every strategy, both channels; and what onnxruntime says of their inputs."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnxruntime as ort
from numpy.typing import NDArray

from client.api import Client
from zoo.registry import get_card

Arrays = dict[str, NDArray[Any]]
STRATEGIES = ("row", "column", "batch")
WORKERS = (2, 3, 4)


@dataclass(frozen=True)
class Model:
    """A card of the zoo, and how many of its examples make one request."""

    card: str
    examples: int
    options: Mapping[str, object] = field(default_factory=dict)


MODELS = (Model("digits-mlp", 20), Model("graphchallenge-1024", 60, {"layers": 3}))


@dataclass(frozen=True)
class Case:
    """One registered model, with inputs and truth."""

    name: str
    workers: int
    inputs: Arrays = field(repr=False)
    expected: Arrays = field(repr=False)


def register_cases(
    client: Client,
    models: Sequence[Model] = MODELS,
    strategies: Sequence[str] = STRATEGIES,
    workers: Sequence[int] = WORKERS,
    *,
    prefix: str = "",
) -> list[Case]:
    """Register every model with every strategy and number of workers, under names that begin with `prefix`."""
    truths = {model.card: _truth(model) for model in models}
    cases = []
    for model, strategy, count in itertools.product(models, strategies, workers):
        name = f"{prefix}{model.card}-{strategy}-{count}"
        client.register(model.card, name=name, strategy=strategy, workers=count, options=model.options)
        cases.append(Case(name, count, *truths[model.card]))
    return cases


def _truth(model: Model) -> tuple[Arrays, Arrays]:
    card = get_card(model.card)
    options = card.parse(model.options)
    inputs = dict(card.examples(options, model.examples).inputs)
    with tempfile.TemporaryDirectory(prefix="fsd-") as folder:
        session = ort.InferenceSession(card.build(options, Path(folder)))
        names = [output.name for output in session.get_outputs()]
        return inputs, dict(zip(names, session.run(names, inputs), strict=True))
