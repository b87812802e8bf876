"""The card `experts`: a transformer whose feed-forward is a mixture of experts, stacked in one tensor per product.

Every expert sees every token and the gate weighs what it says, as GPT-OSS and others export for inference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx

from zoo.card import Arrays
from zoo.networks.attention import Heads, self_attention
from zoo.networks.builder import Builder
from zoo.networks.card import NetworkCard, NetworkOptions
from zoo.networks.layers import embedding, layer_norm, linear, silu
from zoo.options import option


@dataclass(frozen=True)
class ExpertsOptions(NetworkOptions):
    """Sizes of the network."""

    layers: int = option(3, "number of layers", minimum=1)
    width: int = option(192, "features of a token, a multiple of `heads`", minimum=1)
    heads: int = option(8, "attention heads", minimum=1)
    experts: int = option(8, "number of experts", minimum=2)
    chosen: int = option(2, "experts that answer a token, not more than there are", minimum=1)
    inner: int = option(256, "features inside an expert", minimum=1)
    vocabulary: int = option(2048, "number of tokens", minimum=2)


class Experts(NetworkCard[ExpertsOptions]):
    """input_ids [b, s] int64 -> last_hidden_state [b, s, width] float32."""

    name = "experts"
    summary = (
        "mixture of experts (Shazeer et al. 2017): TopK gates, stacked expert weights, attention; 4.4 million weights"
    )
    options = ExpertsOptions
    sizes: ClassVar[Mapping[str, int]] = {"sequence": 8}

    def graph(self, options: ExpertsOptions) -> onnx.ModelProto:
        """Embedding, then `layers` blocks of attention and experts."""
        self.require(options.width % options.heads == 0, "width", f"a multiple of heads {options.heads}", options.width)
        self.require(options.chosen <= options.experts, "chosen", f"at most experts {options.experts}", options.chosen)
        g = Builder(self.name, options.seed)
        ids = g.input("input_ids", ["batch", "sequence"], np.int64)
        x = embedding(g, "embedding", ids, (options.vocabulary, options.width))
        for i in range(options.layers):
            with g.scope(f"layers.{i}"):
                x = _block(g, x, options)
        g.output("last_hidden_state", layer_norm(g, "norm", x, options.width), ["batch", "sequence", options.width])
        return g.model()

    def draw(self, options: ExpertsOptions, rng: np.random.Generator, batch: int, sizes: Mapping[str, int]) -> Arrays:
        """Random tokens."""
        return {"input_ids": rng.integers(0, options.vocabulary, (batch, sizes["sequence"]))}


def _block(g: Builder, x: str, options: ExpertsOptions) -> str:
    width, heads = options.width, Heads(options.heads, options.heads, options.width // options.heads)
    gain = 1.0 / math.sqrt(2.0 * options.layers)
    with g.scope("attention"):
        x = g.op("Add", x, self_attention(g, layer_norm(g, "norm", x, width), heads, width, "", gain=gain))
    with g.scope("experts"):
        tokens = g.op("Reshape", layer_norm(g, "norm", x, width), g.ints(-1, width))
        mixed = _mix(g, _answers(g, tokens, options), _gates(g, tokens, options))
        return g.op("Add", x, g.op("Reshape", mixed, g.op("Shape", x)))


def _gates(g: Builder, tokens: str, options: ExpertsOptions) -> str:
    """tokens [t, width] -> [experts, t, 1]: softmax over the chosen experts, 0 for the others."""
    scores = linear(g, "router", tokens, (options.width, options.experts), gain=2.0)
    best, which = g.ops(2, "TopK", scores, g.ints(options.chosen), axis=-1)
    nothing = g.op("Mul", scores, g.scalar(0.0))
    gates = g.op("ScatterElements", nothing, which, g.op("Softmax", best, axis=-1), axis=1)
    return g.op("Unsqueeze", g.op("Transpose", gates, perm=[1, 0]), g.ints(2))


def _answers(g: Builder, tokens: str, options: ExpertsOptions) -> str:
    """tokens [t, width] -> [experts, t, width]: what each expert says of each token."""
    count, width, inner = options.experts, options.width, options.inner
    gate, up = (
        g.op("MatMul", tokens, g.weight(name, (count, width, inner), 1.0 / math.sqrt(width)))
        for name in ("gate_proj", "up_proj")
    )
    hidden = g.op("Mul", silu(g, gate), up)
    return g.op("MatMul", hidden, g.weight("down_proj", (count, inner, width), 1.0 / math.sqrt(inner)))


def _mix(g: Builder, answers: str, gates: str) -> str:
    """Weighted sum over the experts, [t, width]."""
    return g.op("ReduceSum", g.op("Mul", answers, gates), g.ints(0), keepdims=0)


experts = Experts()
