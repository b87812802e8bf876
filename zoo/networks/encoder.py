"""The card `encoder`: a bidirectional transformer with learnt positions and a padding mask, in the manner of BERT."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx

from zoo.card import Arrays
from zoo.networks.attention import Heads, additive_mask, self_attention
from zoo.networks.builder import Builder
from zoo.networks.card import NetworkCard, NetworkOptions
from zoo.networks.layers import embedding, layer_norm, linear
from zoo.options import option

OPSET = 20  # the first with Gelu


@dataclass(frozen=True)
class EncoderOptions(NetworkOptions):
    """Sizes of the encoder."""

    layers: int = option(4, "number of layers", minimum=1)
    width: int = option(256, "features of a token, a multiple of `heads`", minimum=1)
    heads: int = option(8, "attention heads", minimum=1)
    vocabulary: int = option(4096, "number of tokens", minimum=2)
    positions: int = option(128, "longest sequence", minimum=1)


class Encoder(NetworkCard[EncoderOptions]):
    """input_ids, attention_mask, token_type_ids [b, s] int64 -> last_hidden_state [b, s, width] float32."""

    name = "encoder"
    summary = "transformer encoder: embeddings, masked attention, LayerNormalization, Gelu; 4.2 million weights"
    options = EncoderOptions
    sizes: ClassVar[Mapping[str, int]] = {"sequence": 16}

    def graph(self, options: EncoderOptions) -> onnx.ModelProto:
        """Embeddings, then `layers` blocks that normalise after each sum."""
        self.require(options.width % options.heads == 0, "width", f"a multiple of heads {options.heads}", options.width)
        g = Builder(self.name, options.seed, OPSET)
        ids, mask, types = (
            g.input(name, ["batch", "sequence"], np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")
        )
        x = _embed(g, ids, types, options)
        hidden = _padding_mask(g, mask)
        for i in range(options.layers):
            with g.scope(f"layer.{i}"):
                x = _block(g, x, hidden, options)
        g.output("last_hidden_state", x, ["batch", "sequence", options.width])
        return g.model()

    def draw(self, options: EncoderOptions, rng: np.random.Generator, batch: int, sizes: Mapping[str, int]) -> Arrays:
        """Random tokens; sample i ends with i % 4 tokens of padding, where it is long enough."""
        shape = (batch, sizes["sequence"])
        padding = np.minimum(np.arange(batch) % 4, shape[1] - 1)
        ids = rng.integers(0, options.vocabulary, shape)
        types = rng.integers(0, 2, shape)
        mask = np.arange(shape[1]) < (shape[1] - padding)[:, None]
        return {"input_ids": ids, "attention_mask": mask.astype(np.int64), "token_type_ids": types}


def _embed(g: Builder, ids: str, types: str, options: EncoderOptions) -> str:
    """Token, type and position embeddings, summed and normalised."""
    with g.scope("embeddings"):
        words = embedding(g, "word", ids, (options.vocabulary, options.width))
        kinds = embedding(g, "token_type", types, (2, options.width), 0.2)
        length = g.op("Shape", ids, start=1, end=2)
        table = g.weight("position.weight", (options.positions, options.width), 0.2)
        places = g.op("Slice", table, g.ints(0), length, g.ints(0))
        return layer_norm(g, "norm", g.op("Add", g.op("Add", words, kinds), places), options.width)


def _padding_mask(g: Builder, mask: str) -> str:
    """[b, s] int64, 1 = a token -> [b, 1, 1, s], added to the scores."""
    allowed = g.op("Cast", g.op("Unsqueeze", mask, g.ints(1, 2)), to=onnx.TensorProto.BOOL)
    return additive_mask(g, allowed)


def _block(g: Builder, x: str, mask: str, options: EncoderOptions) -> str:
    width, heads = options.width, Heads(options.heads, options.heads, options.width // options.heads)
    gain = 1.0 / math.sqrt(2.0)
    with g.scope("attention"):
        x = layer_norm(g, "norm", g.op("Add", x, self_attention(g, x, heads, width, mask, gain=gain)), width)
    with g.scope("feed_forward"):
        inner = g.op("Gelu", linear(g, "up", x, (width, 4 * width)))
        return layer_norm(g, "norm", g.op("Add", x, linear(g, "down", inner, (4 * width, width))), width)


encoder = Encoder()
