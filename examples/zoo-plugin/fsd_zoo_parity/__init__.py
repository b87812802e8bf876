"""The card `parity`: is the number of ones among some bits odd? A two-layer network whose weights are known by thought.

Hidden unit k is relu(sum(x) - k); y = sum_k c_k * hidden_k with c = 1, -2, 2, -2, ... is 0, 1, 0, 1, ... on 0, 1, 2, 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from zoo import Arrays, Card, Examples, Verdict, option


@dataclass(frozen=True)
class ParityOptions:
    """bits: how many."""

    bits: int = option(8, "number of bits", minimum=1)


class Parity(Card[ParityOptions]):
    """x [batch, bits] float32, each 0 or 1 -> y [batch, 1] float32, 0 or 1."""

    name = "parity"
    summary = "whether the number of ones among some bits is odd (MatMul, Add, Relu)"
    options = ParityOptions

    def build(self, options: ParityOptions, folder: Path) -> Path:
        """Write the two layers."""
        bits = options.bits
        signs = np.where(np.arange(bits) == 0, 1.0, 2.0) * np.where(np.arange(bits) % 2 == 0, 1.0, -1.0)
        weights = {
            "w1": np.ones((bits, bits), np.float32),
            "b1": -np.arange(bits, dtype=np.float32),
            "w2": signs.astype(np.float32).reshape(bits, 1),
        }
        nodes = [
            helper.make_node("MatMul", ["x", "w1"], ["sum"]),
            helper.make_node("Add", ["sum", "b1"], ["shifted"]),
            helper.make_node("Relu", ["shifted"], ["hidden"]),
            helper.make_node("MatMul", ["hidden", "w2"], ["y"]),
        ]
        graph = helper.make_graph(
            nodes,
            self.name,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", bits])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1])],
            [numpy_helper.from_array(array, name) for name, array in weights.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        folder.mkdir(parents=True, exist_ok=True)
        onnx.save_model(model, folder / f"{self.name}.onnx")
        return folder / f"{self.name}.onnx"

    def examples(self, options: ParityOptions, count: int) -> Examples:
        """`count` seeded patterns. truth: `odd` [count] uint8."""
        self.check_count(count)
        bits = np.random.default_rng(8).integers(0, 2, (count, options.bits))
        truth = {"odd": (bits.sum(axis=1) % 2).astype(np.uint8)}
        return Examples({"x": bits.astype(np.float32)}, truth, "seeded random bits")

    def check(self, outputs: Arrays, examples: Examples) -> Verdict:
        """Every parity must be exact."""
        odd = examples.truth["odd"]
        right = int((self.pick(outputs, "y", (len(odd), 1))[:, 0] == odd).sum())
        return Verdict(right, len(odd), right == len(odd), f"{right} of {len(odd)} parities right")


parity = Parity()
