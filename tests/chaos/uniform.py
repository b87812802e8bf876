"""A network whose layers are alike, so that a message of one layer can be taken for that of another."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper

from tests.partition.models import model

WIDTH, LAYERS = 16, 5


def uniform_network() -> onnx.ModelProto:
    """x [n, 16] -> y [n, 16], five times Tanh(x W)."""
    dice = np.random.default_rng(0)
    names = ["x", *(f"a{layer}" for layer in range(LAYERS - 1)), "y"]
    weights: dict[str, Any] = {
        f"w{layer}": (dice.normal(size=(WIDTH, WIDTH)) / 3).astype(np.float32) for layer in range(LAYERS)
    }
    nodes = []
    for layer in range(LAYERS):
        nodes.append(helper.make_node("MatMul", [names[layer], f"w{layer}"], [f"h{layer}"]))
        nodes.append(helper.make_node("Tanh", [f"h{layer}"], [names[layer + 1]]))
    return model(nodes, {"x": ["n", WIDTH]}, ["y"], weights)
