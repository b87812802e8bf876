"""The card `vit`: a vision transformer; queries, keys and values come from one product, as timm's models export."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from zoo.card import Arrays
from zoo.networks.attention import attend, join_heads
from zoo.networks.builder import Builder
from zoo.networks.card import NetworkCard, NetworkOptions
from zoo.networks.layers import gelu, gemm, layer_norm, linear
from zoo.options import option


@dataclass(frozen=True)
class VitOptions(NetworkOptions):
    """Sizes of the network."""

    layers: int = option(6, "number of layers", minimum=1)
    width: int = option(256, "features of a patch, a multiple of `heads`", minimum=1)
    heads: int = option(8, "attention heads", minimum=1)
    image: int = option(32, "pixels along each side of an image, a multiple of `patch`", minimum=1)
    patch: int = option(8, "pixels along each side of a patch", minimum=1)
    classes: int = option(100, "number of classes", minimum=1)


class Vit(NetworkCard[VitOptions]):
    """image [b, 3, image, image] -> logits [b, classes], float32."""

    name = "vit"
    summary = (
        "vision transformer (Dosovitskiy et al. 2020): patches by Conv, fused query-key-value; 4.9 million weights"
    )
    options = VitOptions

    def graph(self, options: VitOptions) -> onnx.ModelProto:
        """Patches, `layers` blocks that normalise before each part, and the head on the class token."""
        self.require(options.width % options.heads == 0, "width", f"a multiple of heads {options.heads}", options.width)
        self.require(options.image % options.patch == 0, "image", f"a multiple of patch {options.patch}", options.image)
        g = Builder(self.name, options.seed)
        x = _embed(g, g.input("image", ["batch", 3, options.image, options.image]), options)
        for i in range(options.layers):
            with g.scope(f"blocks.{i}"):
                x = _block(g, x, options)
        x = g.op("Gather", layer_norm(g, "norm", x, options.width), g.int_scalar(0), axis=1)
        g.output("logits", gemm(g, "head", x, (options.width, options.classes)), ["batch", options.classes])
        return g.model()

    def draw(self, options: VitOptions, rng: np.random.Generator, batch: int, sizes: Mapping[str, int]) -> Arrays:
        """Images of the one size that the positions are for."""
        return super().draw(options, rng, batch, {**sizes, "height": options.image, "width": options.image})


def _embed(g: Builder, image: str, options: VitOptions) -> str:
    """[b, 3, image, image] -> [b, 1 + patches, width]: the class token, then the patches, plus positions."""
    width, patch, patches = options.width, options.patch, (options.image // options.patch) ** 2
    filters = g.weight("patch_embed.weight", (width, 3, patch, patch), 1.0 / math.sqrt(3 * patch * patch))
    bias = g.weight("patch_embed.bias", (width,), 0.02)
    grid = g.op("Conv", image, filters, bias, kernel_shape=[patch] * 2, strides=[patch] * 2)
    tokens = g.op("Transpose", g.op("Reshape", grid, g.ints(0, width, patches)), perm=[0, 2, 1])
    shape = g.op("Concat", g.op("Shape", tokens, start=0, end=1), g.ints(1, width), axis=0)
    first = g.op("Expand", g.weight("cls_token", (1, 1, width), 1.0), shape)
    joined = g.op("Concat", first, tokens, axis=1)
    return g.op("Add", joined, g.weight("pos_embed", (1, 1 + patches, width), 0.2))


def _block(g: Builder, x: str, options: VitOptions) -> str:
    width, gain = options.width, 1.0 / math.sqrt(2.0 * options.layers)
    with g.scope("attn"):
        joined = _attention(g, layer_norm(g, "norm", x, width), options)
        x = g.op("Add", x, linear(g, "proj", joined, (width, width), gain=gain))
    with g.scope("mlp"):
        inner = gelu(g, linear(g, "fc1", layer_norm(g, "norm", x, width), (width, 4 * width)))
        return g.op("Add", x, linear(g, "fc2", inner, (4 * width, width)))


def _attention(g: Builder, x: str, options: VitOptions) -> str:
    """[b, n, width] -> the same: one product, cut into query, key and value of every head."""
    heads, size = options.heads, options.width // options.heads
    fused = linear(g, "qkv", x, (options.width, 3 * options.width))
    target = g.op("Concat", g.op("Shape", fused, start=0, end=2), g.ints(3, heads, size), axis=0)
    parts = g.op("Transpose", g.op("Reshape", fused, target), perm=[2, 0, 3, 1, 4])
    query, key, value = (g.op("Squeeze", part, g.ints(0)) for part in g.ops(3, "Split", parts, axis=0, num_outputs=3))
    return join_heads(g, attend(g, query, key, value, size), options.width)


vit = Vit()
