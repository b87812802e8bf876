"""The card `resnet`: a residual network of 18 layers, normalisation folded into the convolutions by the exporter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import onnx

from zoo.networks.builder import Builder
from zoo.networks.card import NetworkCard, NetworkOptions
from zoo.networks.layers import RELU_GAIN, conv, gemm, max_pool
from zoo.options import option

STAGES = 4


@dataclass(frozen=True)
class ResNetOptions(NetworkOptions):
    """Sizes of the network."""

    width: int = option(40, "channels of the first stage; each later one has twice as many", minimum=1)
    blocks: int = option(2, "blocks in each of the 4 stages", minimum=1)
    classes: int = option(1000, "number of classes", minimum=1)


class ResNet(NetworkCard[ResNetOptions]):
    """image [b, 3, height, width] -> logits [b, classes], float32."""

    name = "resnet"
    summary = "residual network of 18 layers (He et al. 2015): Conv, Relu, Add, MaxPool, Gemm; 4.7 million weights"
    options = ResNetOptions
    sizes: ClassVar[Mapping[str, int]] = {"height": 48, "width": 48}

    def graph(self, options: ResNetOptions) -> onnx.ModelProto:
        """Stem, four stages, the first block of the later ones with stride 2, and the head."""
        g = Builder(self.name, options.seed)
        image = g.input("image", ["batch", 3, "height", "width"])
        x = g.op("Relu", conv(g, "stem", image, (3, options.width), 7, stride=2, gain=RELU_GAIN))
        x, channels = max_pool(g, x, 3, 2), options.width
        for i in range(STAGES * options.blocks):
            stage, first = i // options.blocks, i % options.blocks == 0
            with g.scope(f"layer{stage + 1}.{i % options.blocks}"):
                wanted = options.width << stage
                x = _block(g, x, (channels, wanted), 2 if first and stage else 1)
                channels = wanted
        pooled = g.op("Flatten", g.op("GlobalAveragePool", x), axis=1)
        g.output("logits", gemm(g, "fc", pooled, (channels, options.classes)), ["batch", options.classes])
        return g.model()


def _block(g: Builder, x: str, channels: tuple[int, int], stride: int) -> str:
    """Relu(x + conv(Relu(conv(x)))); the shortcut is a convolution where the shape changes."""
    inner = g.op("Relu", conv(g, "conv1", x, channels, stride=stride, gain=RELU_GAIN))
    branch = conv(g, "conv2", inner, (channels[1], channels[1]), gain=0.5)
    same = stride == 1 and channels[0] == channels[1]
    shortcut = x if same else conv(g, "downsample", x, channels, 1, stride=stride)
    return g.op("Relu", g.op("Add", branch, shortcut))


resnet = ResNet()
