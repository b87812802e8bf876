"""Self-attention in single ops, as exporters write it: MatMul, Reshape, Transpose, Softmax."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx

from zoo.networks.builder import Builder
from zoo.networks.layers import ATTENTION_OPSET, linear


@dataclass(frozen=True)
class Heads:
    """Sizes of an attention: `count` query heads of `size` elements, `shared` key and value heads.

    shared divides count; equal to it unless queries are grouped.
    """

    count: int
    shared: int
    size: int

    @property
    def queries(self) -> int:
        """Features of the queries."""
        return self.count * self.size

    @property
    def keys(self) -> int:
        """Features of the keys, and of the values."""
        return self.shared * self.size


def split_heads(g: Builder, x: str, heads: int, size: int) -> str:
    """x [b, s, heads * size] -> [b, heads, s, size]; batch and length are read from x."""
    target = g.op("Concat", g.op("Shape", x, start=0, end=2), g.ints(heads, size), axis=0)
    return g.op("Transpose", g.op("Reshape", x, target), perm=[0, 2, 1, 3])


def join_heads(g: Builder, x: str, features: int) -> str:
    """x [b, heads, s, size] -> [b, s, features]."""
    ordered = g.op("Transpose", x, perm=[0, 2, 1, 3])
    target = g.op("Concat", g.op("Shape", ordered, start=0, end=2), g.ints(features), axis=0)
    return g.op("Reshape", ordered, target)


def attend(g: Builder, query: str, key: str, value: str, size: int, mask: str = "") -> str:
    """softmax(query key^T / sqrt(size) + mask) value.

    query: [b, h, q, size]; key, value: [b, h, k, size]; mask: broadcast to [b, h, q, k], added; "" = none.
    """
    scores = g.op("MatMul", query, g.op("Transpose", key, perm=[0, 1, 3, 2]))
    scaled = g.op("Mul", scores, g.scalar(1.0 / math.sqrt(size)))
    weights = g.op("Softmax", g.op("Add", scaled, mask) if mask else scaled, axis=-1)
    return g.op("MatMul", weights, value)


def self_attention(g: Builder, x: str, heads: Heads, features: int, mask: str, *, gain: float) -> str:
    """x [b, s, features] -> the same, through query, key, value and output projections with bias."""
    query, key, value = (
        split_heads(g, linear(g, name, x, (features, heads.queries)), heads.count, heads.size)
        for name in ("query", "key", "value")
    )
    joined = join_heads(g, attend(g, query, key, value, heads.size, mask), heads.queries)
    return linear(g, "output", joined, (heads.queries, features), gain=gain)


def additive_mask(g: Builder, allowed: str) -> str:
    """0 where `allowed` (bool), else the most negative float32."""
    return g.op("Where", allowed, g.scalar(0.0), g.scalar(-3.4028234663852886e38))


def repeat_heads(g: Builder, x: str, heads: Heads) -> str:
    """x [b, shared, s, size] -> [b, count, s, size]: each key or value head once per query head of its group."""
    if heads.count == heads.shared:
        return x
    group = heads.count // heads.shared
    first, last = g.op("Shape", x, start=0, end=2), g.op("Shape", x, start=2, end=4)
    wide = g.op("Expand", g.op("Unsqueeze", x, g.ints(2)), g.op("Concat", first, g.ints(group), last, axis=0))
    batch = g.op("Shape", x, start=0, end=1)
    return g.op("Reshape", wide, g.op("Concat", batch, g.ints(heads.count), last, axis=0))


def rotary_tables(g: Builder, positions: str, size: int, base: float = 10_000.0) -> tuple[str, str]:
    """Cosines and sines of positions [b, s] int64 (Su et al. 2021), for `rotate`.

    [b, s, size / 2] for the op; for single ops, below opset 23, [b, 1, s, size], halves repeated.
    """
    frequencies = g.constant("inv_freq", (base ** (-np.arange(0, size, 2) / size)).astype(np.float32))
    fused = g.opset >= ATTENTION_OPSET
    axes = g.ints(2) if fused else g.ints(1, 3)
    places = g.op("Unsqueeze", g.op("Cast", positions, to=onnx.TensorProto.FLOAT), axes)
    half = g.op("Mul", places, frequencies)
    angles = half if fused else g.op("Concat", half, half, axis=-1)
    return g.op("Cos", angles), g.op("Sin", angles)


def rotate(g: Builder, x: str, tables: tuple[str, str], size: int) -> str:
    """x [b, h, s, size] turned by its position: x cos + (-x[half:], x[:half]) sin."""
    if g.opset >= ATTENTION_OPSET:
        return g.op("RotaryEmbedding", x, *tables)
    first = g.op("Slice", x, g.ints(0), g.ints(size // 2), g.ints(3))
    second = g.op("Slice", x, g.ints(size // 2), g.ints(size), g.ints(3))
    turned = g.op("Concat", g.op("Neg", second), first, axis=-1)
    return g.op("Add", g.op("Mul", x, tables[0]), g.op("Mul", turned, tables[1]))
