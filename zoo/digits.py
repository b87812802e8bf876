"""The card `digits-mlp`: a small perceptron that reads handwritten digits. `zoo.train_digits` made its files."""

from __future__ import annotations

import shutil
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np

from zoo.card import Arrays, Card, Examples, Verdict
from zoo.options import NoOptions

WRONG_ALLOWED, SLACK = 0.03, 2


class DigitsMlp(Card[NoOptions]):
    """x [batch, 64] float32, pixels from 0 to 16 -> y [batch, 10] float32, a score per digit."""

    name = "digits-mlp"
    summary = "handwritten digits, 8x8 pixels: perceptron 64-128-96-10 (Gemm, Relu), 98 % right on images it never saw"
    options = NoOptions

    def build(self, options: NoOptions, folder: Path) -> Path:  # noqa: ARG002
        """Copy the trained model."""
        folder.mkdir(parents=True, exist_ok=True)
        with as_file(files("zoo") / "data" / "digits-mlp.onnx") as source:
            return Path(shutil.copyfile(source, folder / f"{self.name}.onnx"))

    def examples(self, options: NoOptions, count: int) -> Examples:  # noqa: ARG002
        """The first `count` of the 599 held-out images. truth: `digit` [count] uint8."""
        with (files("zoo") / "data" / "digits-heldout.npz").open("rb") as file, np.load(file) as data:
            images, digits = data["images"], data["labels"]
        self.check_count(count, len(images))
        origin = "scikit-learn's digits, the third that the model was not trained on"
        return Examples({"x": images[:count].astype(np.float32)}, {"digit": digits[:count]}, origin)

    def check(self, outputs: Arrays, examples: Examples) -> Verdict:
        """The highest score names the digit; 3 % may be wrong, and two more, as a few examples can be hard ones."""
        digits = examples.truth["digit"]
        guess = self.pick(outputs, "y", (len(digits), 10)).argmax(axis=1)
        right, total = int((guess == digits).sum()), len(digits)
        ok = total - right <= WRONG_ALLOWED * total + SLACK
        return Verdict(right, total, ok, f"{right} of {total} digits read right ({right / total:.1%})")


digits_mlp = DigitsMlp()
