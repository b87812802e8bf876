"""The card `decoder`: one forward pass of a causal language model in the manner of Llama, with a key-value cache."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx

from zoo.card import Arrays
from zoo.networks.attention import (
    Heads,
    additive_mask,
    attend,
    join_heads,
    repeat_heads,
    rotary_tables,
    rotate,
    split_heads,
)
from zoo.networks.builder import Builder
from zoo.networks.card import NetworkCard, NetworkOptions
from zoo.networks.layers import ATTENTION_OPSET, embedding, linear, rms_norm, silu
from zoo.options import option


@dataclass(frozen=True)
class DecoderOptions(NetworkOptions):
    """Sizes of the decoder."""

    layers: int = option(4, "number of layers", minimum=1)
    width: int = option(256, "features of a token, a multiple of `heads`", minimum=1)
    heads: int = option(16, "query heads, a multiple of `kv_heads`", minimum=1)
    kv_heads: int = option(8, "key and value heads", minimum=1)
    inner: int = option(768, "features inside the feed-forward", minimum=1)
    vocabulary: int = option(4096, "number of tokens", minimum=2)
    fused: bool = option(False, "Attention, RotaryEmbedding and RMSNormalization as ops of opset 23, not in single ops")

    @property
    def attention(self) -> Heads:
        """Sizes of the attention."""
        return Heads(self.heads, self.kv_heads, self.width // self.heads)


class Decoder(NetworkCard[DecoderOptions]):
    """input_ids, position_ids [b, s], attention_mask [b, past + s] int64, and per layer past keys and values
    [b, kv_heads, past, size] float32 -> logits [b, s, vocabulary], and present keys and values [.., past + s, ..].
    """

    name = "decoder"
    summary = (
        "transformer decoder: grouped-query attention, rotary embedding, SwiGLU, key-value cache; 5.2 million weights"
    )
    options = DecoderOptions
    sizes: ClassVar[Mapping[str, int]] = {"sequence": 8, "past": 5}

    def graph(self, options: DecoderOptions) -> onnx.ModelProto:
        """Embedding, `layers` blocks that normalise before each part, and the head."""
        self.require(options.width % options.heads == 0, "width", f"a multiple of heads {options.heads}", options.width)
        shared, size = options.kv_heads, options.width // options.heads
        self.require(options.heads % shared == 0, "heads", f"a multiple of kv_heads {shared}", options.heads)
        self.require(size % 2 == 0, "width", "an even number of features per head", options.width)
        g = Builder(self.name, options.seed, ATTENTION_OPSET if options.fused else 18)
        ids = g.input("input_ids", ["batch", "sequence"], np.int64)
        allowed = g.input("attention_mask", ["batch", "past + sequence"], np.int64)
        positions = g.input("position_ids", ["batch", "sequence"], np.int64)
        for name in _cache_names(options.layers):
            g.input(name, ["batch", shared, "past", size])
        layers = _Layers(g, options, causal_mask(g, ids, allowed), rotary_tables(g, positions, size))
        x = embedding(g, "embed_tokens", ids, (options.vocabulary, options.width))
        for i in range(options.layers):
            x = layers.block(x, i)
        x = rms_norm(g, "norm", x, options.width)
        logits = linear(g, "lm_head", x, (options.width, options.vocabulary), bias=False)
        g.output("logits", logits, ["batch", "sequence", options.vocabulary])
        return g.model()

    def draw(self, options: DecoderOptions, rng: np.random.Generator, batch: int, sizes: Mapping[str, int]) -> Arrays:
        """Random tokens after a random past, of which sample i masks the first i % 3 places."""
        length, past = sizes["sequence"], sizes["past"]
        masked = np.minimum(np.arange(batch) % 3, past)[:, None]
        cache = (batch, options.kv_heads, past, options.attention.size)
        return {
            "input_ids": rng.integers(0, options.vocabulary, (batch, length)),
            "attention_mask": (np.arange(past + length) >= masked).astype(np.int64),
            "position_ids": np.arange(past, past + length) - masked,
            **{name: rng.standard_normal(cache, np.float32) for name in _cache_names(options.layers)},
        }


def _cache_names(layers: int) -> list[str]:
    return [f"past_key_values.{i}.{kind}" for i in range(layers) for kind in ("key", "value")]


def causal_mask(g: Builder, ids: str, allowed: str) -> str:
    """[b, 1, s, past + s], added to the scores: a token sees itself and what came before, where `allowed` is 1."""
    with g.scope("mask"):
        total, length = (g.op("Squeeze", g.op("Shape", x, start=1, end=2), g.ints(0)) for x in (allowed, ids))
        keys = g.op("Range", g.int_scalar(0), total, g.int_scalar(1))
        queries = g.op("Range", g.op("Sub", total, length), total, g.int_scalar(1))
        earlier = g.op("LessOrEqual", g.op("Unsqueeze", keys, g.ints(0)), g.op("Unsqueeze", queries, g.ints(1)))
        real = g.op("Unsqueeze", g.op("Cast", allowed, to=onnx.TensorProto.BOOL), g.ints(1, 2))
        return additive_mask(g, g.op("And", earlier, real))


@dataclass(frozen=True)
class _Layers:
    """What all layers share: the mask, and the cosines and sines of the positions."""

    g: Builder
    options: DecoderOptions
    mask: str
    tables: tuple[str, str]

    def block(self, x: str, layer: int) -> str:
        """x [b, s, width] -> the same."""
        g, width = self.g, self.options.width
        with g.scope(f"layers.{layer}.self_attn"):
            x = g.op("Add", x, self._attention(rms_norm(g, "norm", x, width), layer))
        with g.scope(f"layers.{layer}.mlp"):
            return g.op("Add", x, swiglu(g, rms_norm(g, "norm", x, width), width, self.options.inner))

    def _attention(self, x: str, layer: int) -> str:
        """Grouped-query attention (Ainslie et al. 2023) over the cache and the new tokens."""
        g, heads = self.g, self.options.attention
        query = rotate(g, self._project("q_proj", x, heads.count), self.tables, heads.size)
        key = rotate(g, self._project("k_proj", x, heads.shared), self.tables, heads.size)
        value = self._project("v_proj", x, heads.shared)
        attended = (self._fused if self.options.fused else self._attend)(query, key, value, layer)
        joined = join_heads(g, attended, heads.queries)
        gain = 1.0 / math.sqrt(2.0 * self.options.layers)  # keeps the sum of all branches near one
        return linear(g, "o_proj", joined, (heads.queries, self.options.width), gain=gain, bias=False)

    def _project(self, name: str, x: str, heads: int) -> str:
        """[b, s, width] -> [b, heads, s, size]."""
        size = self.options.attention.size
        return split_heads(self.g, linear(self.g, name, x, (self.options.width, heads * size), bias=False), heads, size)

    def _attend(self, query: str, key: str, value: str, layer: int) -> str:
        """In single ops: the cache with what is new, repeated for every query head of a group."""
        g, heads = self.g, self.options.attention
        keys, values = (
            repeat_heads(g, self._present(name, g.op("Concat", f"past_key_values.{name}", new, axis=2)), heads)
            for name, new in ((f"{layer}.key", key), (f"{layer}.value", value))
        )
        return attend(g, query, keys, values, heads.size, self.mask)

    def _fused(self, query: str, key: str, value: str, layer: int) -> str:
        """As one op, which knows the cache and the groups."""
        cache = (f"past_key_values.{layer}.key", f"past_key_values.{layer}.value")
        attended, *present = self.g.ops(3, "Attention", query, key, value, self.mask, *cache)
        for name, whole in zip(("key", "value"), present, strict=True):
            self._present(f"{layer}.{name}", whole)
        return attended

    def _present(self, name: str, whole: str) -> str:
        heads = self.options.attention
        return self.g.output(f"present.{name}", whole, ["batch", heads.shared, "past + sequence", heads.size])


def swiglu(g: Builder, x: str, width: int, inner: int) -> str:
    """(silu(x gate) * (x up)) down (Shazeer 2020)."""
    gate, up = (linear(g, name, x, (width, inner), bias=False) for name in ("gate_proj", "up_proj"))
    return linear(g, "down_proj", g.op("Mul", silu(g, gate), up), (inner, width), bias=False)


decoder = Decoder()
