"""The card `lstm`: a tagger of tokens by stacked bidirectional LSTMs, batch first, as PyTorch exports them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx

from zoo.card import Arrays
from zoo.networks.builder import Builder
from zoo.networks.card import NetworkCard, NetworkOptions
from zoo.networks.layers import embedding, linear
from zoo.options import option

GATES, DIRECTIONS = 4, 2


@dataclass(frozen=True)
class LstmOptions(NetworkOptions):
    """Sizes of the network."""

    layers: int = option(2, "number of layers", minimum=1)
    hidden: int = option(256, "units of each direction", minimum=1)
    features: int = option(256, "features of a token", minimum=1)
    vocabulary: int = option(8192, "number of tokens", minimum=2)
    tags: int = option(64, "number of tags", minimum=1)


class Lstm(NetworkCard[LstmOptions]):
    """input_ids [b, s] int64 -> scores [b, s, tags] float32."""

    name = "lstm"
    summary = "tagger by bidirectional LSTMs (Hochreiter and Schmidhuber 1997); 4.8 million weights"
    options = LstmOptions
    sizes: ClassVar[Mapping[str, int]] = {"sequence": 12}

    def graph(self, options: LstmOptions) -> onnx.ModelProto:
        """Embedding, `layers` bidirectional LSTMs, and a product for the tags."""
        g = Builder(self.name, options.seed)
        ids = g.input("input_ids", ["batch", "sequence"], np.int64)
        x = embedding(g, "embedding", ids, (options.vocabulary, options.features))
        x, features = g.op("Transpose", x, perm=[1, 0, 2]), options.features
        for i in range(options.layers):
            x, features = _layer(g, f"lstm.{i}", x, features, options.hidden), DIRECTIONS * options.hidden
        scores = linear(g, "tags", g.op("Transpose", x, perm=[1, 0, 2]), (features, options.tags), gain=2.0)
        g.output("scores", scores, ["batch", "sequence", options.tags])
        return g.model()

    def draw(self, options: LstmOptions, rng: np.random.Generator, batch: int, sizes: Mapping[str, int]) -> Arrays:
        """Random tokens."""
        return {"input_ids": rng.integers(0, options.vocabulary, (batch, sizes["sequence"]))}


def _layer(g: Builder, name: str, x: str, features: int, hidden: int) -> str:
    """x [s, b, features] -> [s, b, 2 * hidden], both directions joined."""
    with g.scope(name):
        weight = g.weight("weight", (DIRECTIONS, GATES * hidden, features), 1.0 / math.sqrt(features))
        recurrence = g.weight("recurrence", (DIRECTIONS, GATES * hidden, hidden), 1.0 / math.sqrt(hidden))
        bias = g.weight("bias", (DIRECTIONS, 2 * GATES * hidden), 0.02)
        y = g.op("LSTM", x, weight, recurrence, bias, hidden_size=hidden, direction="bidirectional")
        joined = g.op("Transpose", y, perm=[0, 2, 1, 3])
        return g.op("Reshape", joined, g.ints(0, 0, -1))


lstm = Lstm()
