"""What the harness runs: small models, every strategy, both channels; and what onnxruntime says of their inputs."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
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

    @property
    def name(self) -> str:
        """What its registered names begin with."""
        return self.card

    @property
    def source(self) -> str:
        """What `fsd register` is given."""
        return self.card

    def truth(self) -> tuple[Arrays, Arrays]:
        """Inputs, and what onnxruntime says of them."""
        card = get_card(self.card)
        options = card.parse(self.options)
        inputs = dict(card.examples(options, self.examples).inputs)
        with tempfile.TemporaryDirectory(prefix="fsd-") as folder:
            return inputs, _run(card.build(options, Path(folder)), inputs)


class Uniform(Model):
    """A network of 16 neurons in five layers that are alike: one layer's message could be taken for another's."""

    path: ClassVar = Path(__file__).parent / "data" / "uniform.onnx"

    @property
    def source(self) -> str:
        """Its file."""
        return str(self.path)

    def truth(self) -> tuple[Arrays, Arrays]:
        """Inputs, and what onnxruntime says of them."""
        inputs = {"x": np.random.default_rng(1).normal(size=(self.examples, 16)).astype(np.float32)}
        return inputs, _run(self.path, inputs)


MODELS = (Model("digits-mlp", 20), Model("graphchallenge-1024", 60, {"layers": 3}), Uniform("uniform", 6))


def _run(path: Path, inputs: Arrays) -> Arrays:
    session = ort.InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


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
    truths = {model.name: model.truth() for model in models}
    cases = []
    for model, strategy, count in itertools.product(models, strategies, workers):
        name = f"{prefix}{model.name}-{strategy}-{count}"
        client.register(model.source, name=name, strategy=strategy, workers=count, options=model.options)
        cases.append(Case(name, count, *truths[model.name]))
    return cases
