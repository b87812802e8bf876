"""The card `mobilenet`: inverted residuals of depthwise convolutions with squeeze and excitation, not folded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import onnx

from zoo.networks.builder import Builder
from zoo.networks.card import NetworkCard, NetworkOptions
from zoo.networks.layers import RELU_GAIN, batch_norm, conv, gemm
from zoo.options import option


@dataclass(frozen=True)
class Stage:
    """One inverted residual: kernel of the depthwise convolution, channels inside and after it, stride."""

    kernel: int
    inner: int
    channels: int
    stride: int
    excited: bool


# Every second row of table 1 of Howard et al. 2019 (MobileNetV3-Large); all channels are multiples of 8.
STAGES = (
    Stage(3, 64, 24, 2, False),
    Stage(5, 72, 40, 2, True),
    Stage(5, 120, 40, 1, True),
    Stage(3, 240, 80, 2, False),
    Stage(3, 184, 80, 1, False),
    Stage(3, 480, 112, 1, True),
    Stage(5, 672, 160, 2, True),
    Stage(5, 960, 160, 1, True),
)
STEM, LAST, HIDDEN = 16, 960, 1280
SQUEEZE = 4  # channels inside / channels of the gate


@dataclass(frozen=True)
class MobileNetOptions(NetworkOptions):
    """Sizes of the network."""

    stages: int = option(8, "the first so many of the 8 inverted residuals", minimum=1)
    classes: int = option(1000, "number of classes", minimum=1)


class MobileNet(NetworkCard[MobileNetOptions]):
    """image [b, 3, height, width] -> logits [b, classes], float32."""

    name = "mobilenet"
    summary = (
        "mobile CNN in the manner of MobileNetV3: depthwise Conv, BatchNormalization, HardSwish; 4.6 million weights"
    )
    options = MobileNetOptions
    sizes: ClassVar[Mapping[str, int]] = {"height": 64, "width": 64}

    def graph(self, options: MobileNetOptions) -> onnx.ModelProto:
        """Stem, inverted residuals, and a head of two layers."""
        self.require(options.stages <= len(STAGES), "stages", f"at most {len(STAGES)}", options.stages)
        g = Builder(self.name, options.seed)
        x = _conv(g, "stem", g.input("image", ["batch", 3, "height", "width"]), (3, STEM), stride=2)
        x, channels = g.op("HardSwish", x), STEM
        for i, stage in enumerate(STAGES[: options.stages]):
            with g.scope(f"features.{i}"):
                x, channels = _inverted_residual(g, x, channels, stage), stage.channels
        x = g.op("HardSwish", _conv(g, "last", x, (channels, LAST), 1))
        pooled = g.op("Flatten", g.op("GlobalAveragePool", x), axis=1)
        hidden = g.op("HardSwish", gemm(g, "hidden", pooled, (LAST, HIDDEN), gain=RELU_GAIN))
        g.output("logits", gemm(g, "classifier", hidden, (HIDDEN, options.classes)), ["batch", options.classes])
        return g.model()


def _conv(
    g: Builder, name: str, x: str, channels: tuple[int, int], kernel: int = 3, *, stride: int = 1, group: int = 1
) -> str:
    """Conv without bias, then BatchNormalization."""
    with g.scope(name):
        product = conv(g, "conv", x, channels, kernel, stride=stride, group=group, gain=RELU_GAIN, bias=False)
        return batch_norm(g, "norm", product, channels[1])


def _inverted_residual(g: Builder, x: str, channels: int, stage: Stage) -> str:
    """Widen, filter every channel by itself, gate, narrow; add x where the shape stays."""
    inner = stage.inner
    wide = g.op("HardSwish", _conv(g, "expand", x, (channels, inner), 1))
    filtered = _conv(g, "depthwise", wide, (inner, inner), stage.kernel, stride=stage.stride, group=inner)
    active = g.op("HardSwish", filtered)
    gated = _excite(g, active, inner) if stage.excited else active
    narrow = _conv(g, "project", gated, (inner, stage.channels), 1)
    return g.op("Add", x, narrow) if stage.stride == 1 and channels == stage.channels else narrow


def _excite(g: Builder, x: str, channels: int) -> str:
    """Squeeze and excitation: every channel times a gate that sees the means of all."""
    with g.scope("se"):
        mean = g.op("GlobalAveragePool", x)
        squeezed = g.op("Relu", conv(g, "reduce", mean, (channels, channels // SQUEEZE), 1))
        gate = g.op("HardSigmoid", conv(g, "expand", squeezed, (channels // SQUEEZE, channels), 1), alpha=1.0 / 6.0)
        return g.op("Mul", x, gate)


mobilenet = MobileNet()
