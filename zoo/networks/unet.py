"""The card `unet`: an image-to-image network that halves, doubles, and joins what it halved to what it doubled."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx

from zoo.networks.builder import Builder
from zoo.networks.card import NetworkCard, NetworkOptions
from zoo.networks.layers import RELU_GAIN, conv, max_pool
from zoo.options import option


@dataclass(frozen=True)
class UnetOptions(NetworkOptions):
    """Sizes of the network."""

    width: int = option(48, "channels at full size; each halving doubles them", minimum=1)
    depth: int = option(3, "number of halvings", minimum=1)
    classes: int = option(8, "channels of the output", minimum=1)
    transposed: bool = option(True, "double by ConvTranspose rather than by Resize and Conv")


class Unet(NetworkCard[UnetOptions]):
    """image [b, 3, height, width] -> mask [b, classes, height, width], float32; sizes are multiples of 2^depth."""

    name = "unet"
    summary = "U-Net (Ronneberger et al. 2015): Conv, MaxPool, ConvTranspose, skips by Concat; 4.3 million weights"
    options = UnetOptions
    sizes: ClassVar[Mapping[str, int]] = {"height": 32, "width": 32}

    def graph(self, options: UnetOptions) -> onnx.ModelProto:
        """Down, across, up."""
        g = Builder(self.name, options.seed)
        x, channels = g.input("image", ["batch", 3, "height", "width"]), 3
        skips = []
        for i in range(options.depth):
            x, channels = _double_conv(g, f"down.{i}", x, (channels, options.width << i)), options.width << i
            skips.append(x)
            x = max_pool(g, x, 2, 2)
        x = _double_conv(g, "bottom", x, (channels, 2 * channels))
        for i, skip in reversed(list(enumerate(skips))):
            x = _up(g, f"up.{i}", x, skip, options.width << i, options.transposed)
        mask = conv(g, "mask", x, (options.width, options.classes), 1)
        g.output("mask", mask, ["batch", options.classes, "height", "width"])
        return g.model()


def _double_conv(g: Builder, name: str, x: str, channels: tuple[int, int]) -> str:
    """Twice Conv and Relu."""
    with g.scope(name):
        x = g.op("Relu", conv(g, "conv1", x, channels, gain=RELU_GAIN))
        return g.op("Relu", conv(g, "conv2", x, (channels[1], channels[1]), gain=RELU_GAIN))


def _up(g: Builder, name: str, x: str, skip: str, channels: int, transposed: bool) -> str:
    """x [b, 2 c, h, w], skip [b, c, 2 h, 2 w] -> [b, c, 2 h, 2 w]."""
    with g.scope(name):
        enlarge = _transposed if transposed else _resized
        joined = g.op("Concat", skip, enlarge(g, x, channels), axis=1)
    return _double_conv(g, name, joined, (2 * channels, channels))


def _transposed(g: Builder, x: str, channels: int) -> str:
    """x [b, 2 c, h, w] -> [b, c, 2 h, 2 w] by a ConvTranspose whose windows do not overlap."""
    weight = g.weight("enlarge.weight", (2 * channels, channels, 2, 2), 1.0 / math.sqrt(2 * channels))
    bias = g.weight("enlarge.bias", (channels,), 0.02)
    return g.op("ConvTranspose", x, weight, bias, kernel_shape=[2, 2], strides=[2, 2])


def _resized(g: Builder, x: str, channels: int) -> str:
    """The same by the nearest pixel and a Conv."""
    scales = g.constant("scales", np.array([1, 1, 2, 2], np.float32))
    attributes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return conv(g, "enlarge", g.op("Resize", x, "", scales, **attributes), (2 * channels, channels), 1)


unet = Unet()
