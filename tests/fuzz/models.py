"""Small ONNX files of many ops, and a signature that requests are held against."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from onnx import helper

from bundle.manifest import TensorSpec
from tests.partition.models import model
from zoo.registry import get_card

SIGNATURE = (TensorSpec("x", "float32", ("n", 4)),)


def seeds() -> list[bytes]:
    """A dense network, a sparse one, a convolution, and shapes that are computed."""
    dice = np.random.default_rng(0)
    weight = dice.normal(size=(4, 4)).astype(np.float32)
    filters = dice.normal(size=(2, 1, 3, 3)).astype(np.float32)
    dense = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    conv = [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])]
    shapes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Slice", ["s", "a", "b"], ["n"]),
        helper.make_node("Concat", ["n", "c"], ["t"], axis=0),
        helper.make_node("Reshape", ["x", "t"], ["h"]),
        helper.make_node("Softmax", ["h"], ["y"], axis=-1),
    ]
    one = {"a": np.array([0]), "b": np.array([1]), "c": np.array([2, 2])}
    protos = [
        model(dense, {"x": ["n", 4]}, ["y"], {"w": weight}),
        model(conv, {"x": ["n", 1, 5, 5]}, ["y"], {"w": filters}),
        model(shapes, {"x": ["n", 4]}, ["y"], one),
    ]
    return [*(proto.SerializeToString() for proto in protos), _sparse()]


def _sparse() -> bytes:
    card = get_card("graphchallenge-1024")
    with tempfile.TemporaryDirectory() as folder:
        options = card.parse({"layers": 1})
        return card.build(options, Path(folder)).read_bytes()
