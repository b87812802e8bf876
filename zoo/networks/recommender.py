"""The card `recommender`: embedding tables, pairwise interaction and two perceptrons, in the manner of DLRM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
import onnx

from zoo.card import Arrays
from zoo.networks.builder import Builder
from zoo.networks.card import NetworkCard, NetworkOptions
from zoo.networks.layers import RELU_GAIN, embedding, gemm
from zoo.options import option

DENSE = 16
# Share of `rows` that each table has: a few large ones hold most of the weights, as in practice.
TABLES = (1.0, 1.0, 0.5, 0.25, 0.1, 0.01, 0.002, 0.001)


@dataclass(frozen=True)
class RecommenderOptions(NetworkOptions):
    """Sizes of the network."""

    rows: int = option(22_000, "rows of the largest of the 8 tables", minimum=1)
    features: int = option(64, "features of a row", minimum=1)
    hidden: int = option(256, "features inside the perceptrons", minimum=1)

    @property
    def tables(self) -> tuple[int, ...]:
        """Rows of each table."""
        return tuple(max(1, int(self.rows * share)) for share in TABLES)


class Recommender(NetworkCard[RecommenderOptions]):
    """dense [b, 16] float32, categories [b, 8, bag] int64, the rows of each table -> click [b, 1] float32."""

    name = "recommender"
    summary = "recommender (Naumov et al. 2019): 8 embedding tables, interaction, perceptrons; 4.0 million weights"
    options = RecommenderOptions
    sizes: ClassVar[Mapping[str, int]] = {"bag": 3}

    def graph(self, options: RecommenderOptions) -> onnx.ModelProto:
        """Rows summed per bag; every pair of vectors multiplied; click probability."""
        g = Builder(self.name, options.seed)
        dense = g.input("dense", ["batch", DENSE])
        categories = g.input("categories", ["batch", len(TABLES), "bag"], np.int64)
        bottom = _perceptron(g, "bottom", dense, (DENSE, options.hidden, options.features))
        vectors = [bottom, *_bags(g, categories, options)]
        pairs = _interact(g, vectors, options.features)
        count = len(vectors) * (len(vectors) - 1) // 2
        joined = g.op("Concat", bottom, pairs, axis=1)
        logit = _perceptron(g, "top", joined, (options.features + count, options.hidden, options.hidden, 1))
        g.output("click", g.op("Sigmoid", logit), ["batch", 1])
        return g.model()

    def draw(
        self, options: RecommenderOptions, rng: np.random.Generator, batch: int, sizes: Mapping[str, int]
    ) -> Arrays:
        """Random features and rows."""
        high = np.array(options.tables)[:, None]
        categories = rng.integers(0, high, (batch, len(TABLES), sizes["bag"]))
        return {"dense": rng.standard_normal((batch, DENSE), np.float32), "categories": categories}


def _perceptron(g: Builder, name: str, x: str, sizes: tuple[int, ...]) -> str:
    """Gemm layers with Relu between them."""
    for i, features in enumerate(pairwise(sizes)):
        x = gemm(g, f"{name}.{i}", g.op("Relu", x) if i else x, features, gain=RELU_GAIN if i else 1.0)
    return x


def _bags(g: Builder, categories: str, options: RecommenderOptions) -> list[str]:
    """Per table the sum of the rows that its bag names, [b, features]."""
    found = []
    for i, rows in enumerate(options.tables):
        bag = g.op("Gather", categories, g.int_scalar(i), axis=1)
        vectors = embedding(g, f"table.{i}", bag, (rows, options.features), 0.1)
        found.append(g.op("ReduceSum", vectors, g.ints(1), keepdims=0))
    return found


def _interact(g: Builder, vectors: list[str], features: int) -> str:
    """Products of all pairs of vectors, [b, pairs]: the triangle below the diagonal of V V^T."""
    stack = g.op("Concat", *(g.op("Unsqueeze", x, g.ints(1)) for x in vectors), axis=1)
    products = g.op("MatMul", stack, g.op("Transpose", stack, perm=[0, 2, 1]))
    flat = g.op("Reshape", products, g.ints(0, len(vectors) ** 2))
    rows, columns = np.tril_indices(len(vectors), -1)
    places = g.constant("pairs", (rows * len(vectors) + columns).astype(np.int64))
    return g.op("Gather", g.op("Mul", flat, g.scalar(features**-0.5)), places, axis=1)


recommender = Recommender()
