"""The layers that networks are made of. Weights are scaled so that activations keep a deviation of about one."""

from __future__ import annotations

import math
from typing import Any

from zoo.networks.builder import Builder

ATTENTION_OPSET = 23  # the first with Attention, RotaryEmbedding and RMSNormalization
RELU_GAIN = math.sqrt(2.0)  # He et al. 2015: half of the variance is cut off


def linear(g: Builder, name: str, x: str, features: tuple[int, int], *, gain: float = 1.0, bias: bool = True) -> str:
    """x [..., in] -> [..., out] as MatMul and Add; features: (in, out)."""
    with g.scope(name):
        weight = g.weight("weight", features, gain / math.sqrt(features[0]))
        product = g.op("MatMul", x, weight)
        return g.op("Add", product, g.weight("bias", features[1:], 0.02)) if bias else product


def gemm(g: Builder, name: str, x: str, features: tuple[int, int], *, gain: float = 1.0) -> str:
    """x [n, in] -> [n, out] as Gemm with the weight as [out, in], the way PyTorch exports a Linear of two axes."""
    with g.scope(name):
        weight = g.weight("weight", features[::-1], gain / math.sqrt(features[0]))
        return g.op("Gemm", x, weight, g.weight("bias", features[1:], 0.02), transB=1)


def layer_norm(g: Builder, name: str, x: str, features: int) -> str:
    """LayerNormalization of the last axis."""
    with g.scope(name):
        scale, bias = g.weight("weight", (features,), 0.05, mean=1.0), g.weight("bias", (features,), 0.05)
        return g.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=1e-5)


def rms_norm(g: Builder, name: str, x: str, features: int) -> str:
    """x / sqrt(mean(x^2) + epsilon), scaled: below opset 23 in single ops, as exporters write it."""
    with g.scope(name):
        if g.opset >= ATTENTION_OPSET:
            return g.op("RMSNormalization", x, g.weight("weight", (features,), 0.05, mean=1.0), axis=-1, epsilon=1e-6)
        mean = g.op("ReduceMean", g.op("Pow", x, g.scalar(2.0)), g.ints(-1), keepdims=1)
        root = g.op("Sqrt", g.op("Add", mean, g.scalar(1e-6)))
        return g.op("Mul", g.op("Div", x, root), g.weight("weight", (features,), 0.05, mean=1.0))


def gelu(g: Builder, x: str) -> str:
    """x / 2 * (1 + erf(x / sqrt 2)): in single ops, as exporters below opset 20 write it."""
    erf = g.op("Erf", g.op("Div", x, g.scalar(math.sqrt(2.0))))
    return g.op("Mul", g.op("Mul", x, g.op("Add", erf, g.scalar(1.0))), g.scalar(0.5))


def silu(g: Builder, x: str) -> str:
    """x * sigmoid(x)."""
    return g.op("Mul", x, g.op("Sigmoid", x))


def embedding(g: Builder, name: str, indices: str, shape: tuple[int, int], deviation: float = 1.0) -> str:
    """Rows of a table [words, features]."""
    with g.scope(name):
        return g.op("Gather", g.weight("weight", shape, deviation), indices)


def conv(
    g: Builder,
    name: str,
    x: str,
    channels: tuple[int, int],
    kernel: int = 3,
    *,
    stride: int = 1,
    group: int = 1,
    gain: float = 1.0,
    bias: bool = True,
) -> str:
    """x [n, in, h, w] -> [n, out, h / stride, w / stride]; channels: (in, out); padded by half of the odd kernel."""
    fan_in = channels[0] // group * kernel * kernel
    with g.scope(name):
        weight = g.weight("weight", (channels[1], channels[0] // group, kernel, kernel), gain / math.sqrt(fan_in))
        inputs = (x, weight, g.weight("bias", channels[1:], 0.02)) if bias else (x, weight)
        return g.op("Conv", *inputs, **_window(kernel, stride, kernel // 2), group=group)


def max_pool(g: Builder, x: str, kernel: int, stride: int) -> str:
    """MaxPool over windows; padded where they overlap."""
    return g.op("MaxPool", x, **_window(kernel, stride, (kernel - 1) // 2))


def _window(kernel: int, stride: int, pad: int) -> dict[str, Any]:
    return {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4}


def batch_norm(g: Builder, name: str, x: str, channels: int) -> str:
    """BatchNormalization in inference."""
    with g.scope(name):
        scale, bias = g.weight("weight", (channels,), 0.05, mean=1.0), g.weight("bias", (channels,), 0.05)
        mean, variance = g.weight("running_mean", (channels,), 0.05), g.weight("running_var", (channels,), 0.02, 1.0)
        return g.op("BatchNormalization", x, scale, bias, mean, variance, epsilon=1e-5)
