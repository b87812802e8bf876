"""What the cards of built networks share: the file is the built graph, the truth is ONNX's own reference evaluator's.

The evaluator is written in numpy, op by op from the specification, and shares no code with onnxruntime.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray

from zoo.card import Arrays, Card, Examples, Verdict
from zoo.errors import OptionError
from zoo.options import option

# Of the largest value of an output: two float32 evaluations differ by some 1e-6, a wrong one by much more.
TOLERANCE = 1e-4
INPUT_SEED = 20240513


@dataclass(frozen=True)
class NetworkOptions:
    """What every built network lets the user choose."""

    seed: int = option(0, "of the weights", minimum=0)


NetworkOptionsT = TypeVar("NetworkOptionsT", bound=NetworkOptions)


class NetworkCard(Card[NetworkOptionsT]):
    """A card whose graph is built by `graph`, with inputs by `draw`, from a seeded generator.

    sizes: default of every size, but the batch, that a request may choose.
    """

    sizes: ClassVar[Mapping[str, int]] = {}

    @abstractmethod
    def graph(self, options: NetworkOptionsT) -> onnx.ModelProto:
        """The network."""

    def draw(self, options: NetworkOptionsT, rng: np.random.Generator, batch: int, sizes: Mapping[str, int]) -> Arrays:  # noqa: ARG002
        """Inputs for `batch` examples of the given sizes: images, unless a card says otherwise."""
        return {"image": rng.standard_normal((batch, 3, sizes["height"], sizes["width"]), np.float32)}

    def require(self, condition: bool, option: str, expected: str, got: object) -> None:
        """Refuse options that do not go together.

        Raises:
            OptionError: condition does not hold.
        """
        if not condition:
            raise OptionError(f"{self.name}, option {option}: expected {expected}, got {got}")

    def build(self, options: NetworkOptionsT, folder: Path) -> Path:
        """Write the network as one file."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.onnx"
        path.write_bytes(self.graph(options).SerializeToString(deterministic=True))
        return path

    def inputs(self, options: NetworkOptionsT, count: int, **sizes: int) -> Arrays:
        """Seeded inputs for `count` examples; sizes by the names in `self.sizes`.

        Raises:
            OptionError: count < 1, or a size that the card does not have.
        """
        self.check_count(count)
        if unknown := sorted(sizes.keys() - self.sizes.keys()):
            raise OptionError(f"{self.name}, sizes: expected some of {sorted(self.sizes)}, got {unknown}")
        return self.draw(options, np.random.default_rng(INPUT_SEED), count, {**self.sizes, **sizes})

    def examples(self, options: NetworkOptionsT, count: int) -> Examples:
        """Seeded inputs; truth: what ONNX's reference evaluator answers, by output."""
        inputs = self.inputs(options, count)
        return Examples(inputs, evaluate(self.graph(options), inputs), "seeded; truth by ONNX's reference evaluator")

    def check(self, outputs: Arrays, examples: Examples) -> Verdict:
        """An example is right when all outputs are within TOLERANCE of the truth."""
        truth = examples.truth
        right = np.logical_and.reduce([self._near(outputs, name, truth[name]) for name in truth])
        text = f"{right.sum()} of {right.size} examples equal the reference evaluator's answer"
        return Verdict(int(right.sum()), right.size, bool(right.all()), text)

    def _near(self, outputs: Arrays, name: str, want: NDArray[Any]) -> NDArray[np.bool_]:
        error = np.abs(self.pick(outputs, name, want.shape) - want).reshape(len(want), -1)
        near: NDArray[np.bool_] = error.max(axis=1, initial=0.0) <= TOLERANCE * np.abs(want).max(initial=1.0)
        return near


def evaluate(model: onnx.ModelProto, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """The outputs by name of ONNX's reference evaluator."""
    from onnx.reference import ReferenceEvaluator

    names = [output.name for output in model.graph.output]
    return dict(zip(names, ReferenceEvaluator(model).run(None, dict(inputs)), strict=True))
