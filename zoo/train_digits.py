"""Trains the model of the card `digits-mlp`, and writes it with the images it never saw: python -m zoo.train_digits.

Stages: load scikit-learn's 1797 digits, split off a third by a seeded shuffle, train on the rest and on noisy copies of
it, export as Gemm and Relu. Needs scikit-learn; whoever uses the card does not.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SEED = 7
HIDDEN = (128, 96)
MAX_PIXEL = 16
LOGIT_SCALE = 0.25  # order of the logits unchanged, and their float32 rounding stays near 1e-6
NOISE, NOISY_COPIES = 3.0, 8
OPSET, IR_VERSION = 20, 10

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Split:
    """Digits, divided.

    train, held_out:             [k, 64] float32, pixels 0 to 16.
    train_labels, held_out_labels: [k] int64, 0 to 9.
    held_out_index:              [k] int64, ascending: where the held-out images are in scikit-learn's data set.
    """

    train: Floats
    train_labels: Labels
    held_out: Floats
    held_out_labels: Labels
    held_out_index: Labels


def split_digits(seed: int = SEED) -> Split:
    """scikit-learn's digits; a third of them, chosen by `seed`, is held out."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = images.astype(np.float32)
    order = np.random.default_rng(seed).permutation(len(images))
    out, rest = np.sort(order[: len(images) // 3]), np.sort(order[len(images) // 3 :])
    return Split(images[rest], labels[rest], images[out], labels[out], out)


def train(images: Floats, labels: Labels, seed: int = SEED) -> list[tuple[Floats, Floats]]:
    """(weight [in, out], bias [out]) of each layer, for pixels from 0 to 16.

    images: [k, 64]; labels: [k].
    """
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(HIDDEN, alpha=0.3, max_iter=200, tol=1e-3, random_state=seed)
    model.fit(with_noisy_copies(images, seed) / MAX_PIXEL, np.tile(labels, 1 + NOISY_COPIES))
    weights, biases = model.coefs_, model.intercepts_
    weights[0] /= MAX_PIXEL
    weights[-1] *= LOGIT_SCALE
    biases[-1] *= LOGIT_SCALE
    return [(w.astype(np.float32), b.astype(np.float32)) for w, b in zip(weights, biases, strict=True)]


def with_noisy_copies(images: Floats, seed: int) -> Floats:
    """images: [k, 64] -> [(1 + NOISY_COPIES) k, 64]; worth almost a percent of accuracy in cross-validation."""
    noise = np.random.default_rng(seed).normal(0, NOISE, (NOISY_COPIES, *images.shape))
    return np.concatenate([images, *(images + noise)])


def export(layers: list[tuple[Floats, Floats]]) -> onnx.ModelProto:
    """x [batch, 64] -> y [batch, 10]: Gemm and Relu per layer, no Relu after the last."""
    last = len(layers) - 1
    nodes = [node for i in range(len(layers)) for node in _nodes(i, last)]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", len(layers[0][0])])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", len(layers[-1][1])])
    arrays = [
        (f"layer{i}.{kind}", a)
        for i, layer in enumerate(layers)
        for kind, a in zip(("weight", "bias"), layer, strict=True)
    ]
    graph = helper.make_graph(nodes, "digits-mlp", [x], [y], [numpy_helper.from_array(a, name) for name, a in arrays])
    model = helper.make_model(graph, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)])
    model.producer_name = "fsd-zoo"
    return model


def _nodes(layer: int, last: int) -> list[onnx.NodeProto]:
    source = "x" if layer == 0 else f"layer{layer - 1}.out"
    out = "y" if layer == last else f"layer{layer}.sum"
    gemm = helper.make_node("Gemm", [source, f"layer{layer}.weight", f"layer{layer}.bias"], [out], f"layer{layer}.gemm")
    relu = helper.make_node("Relu", [out], [f"layer{layer}.out"], f"layer{layer}.relu")
    return [gemm] if layer == last else [gemm, relu]


def main() -> None:
    """Train, and write digits-mlp.onnx and digits-heldout.npz."""
    parser = argparse.ArgumentParser(prog="python -m zoo.train_digits", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent / "data", help="where to write")
    folder = parser.parse_args().folder
    split = split_digits()
    model = export(train(split.train, split.train_labels))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "digits-mlp.onnx").write_bytes(model.SerializeToString(deterministic=True))
    np.savez_compressed(
        folder / "digits-heldout.npz",
        images=split.held_out.astype(np.uint8),
        labels=split.held_out_labels.astype(np.uint8),
        index=split.held_out_index.astype(np.uint16),
    )


if __name__ == "__main__":
    main()
