"""The card digits-mlp: its committed files, re-checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from zoo import OptionError, get_card
from zoo.digits import digits_mlp
from zoo.options import NoOptions
from zoo.testing import CardContract, contents, run

HELD_OUT = 599


class TestDigitsMlp(CardContract):
    """The contract."""

    card = digits_mlp
    count = 40


def test_model_reads_97_percent_of_the_held_out_third_right(tmp_path: Path) -> None:
    examples = digits_mlp.examples(NoOptions(), HELD_OUT)
    verdict = digits_mlp.check(run(digits_mlp.build(NoOptions(), tmp_path), examples), examples)
    assert verdict.total == HELD_OUT
    assert verdict.right >= 0.97 * HELD_OUT


def test_any_number_of_held_out_images_passes_the_check(tmp_path: Path) -> None:
    full = digits_mlp.examples(NoOptions(), HELD_OUT)
    y = run(digits_mlp.build(NoOptions(), tmp_path), full)["y"]
    verdicts = [digits_mlp.check({"y": y[:k]}, digits_mlp.examples(NoOptions(), k)) for k in (1, 2, 3, 35, 180, 400)]
    assert all(verdict.ok for verdict in verdicts)


def test_more_images_than_were_held_out_are_refused() -> None:
    with pytest.raises(OptionError, match="expected a count from 1 to 599, got 600"):
        digits_mlp.examples(NoOptions(), HELD_OUT + 1)


def test_graph_is_gemm_and_relu_with_a_symbolic_batch(tmp_path: Path) -> None:
    graph = onnx.load(digits_mlp.build(NoOptions(), tmp_path)).graph
    assert [node.op_type for node in graph.node] == ["Gemm", "Relu", "Gemm", "Relu", "Gemm"]
    assert [tuple(w.dims) for w in graph.initializer if len(w.dims) == 2] == [(64, 128), (128, 96), (96, 10)]
    batch, features = graph.input[0].type.tensor_type.shape.dim
    assert (batch.dim_param, features.dim_value) == ("batch", 64)


def test_held_out_images_are_scikit_learns_and_were_not_trained_on() -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    from zoo.train_digits import split_digits

    split = split_digits()
    examples = digits_mlp.examples(NoOptions(), HELD_OUT)
    np.testing.assert_array_equal(examples.inputs["x"], split.held_out)
    np.testing.assert_array_equal(examples.truth["digit"], split.held_out_labels)
    trained_on = {image.tobytes() for image in split.train}
    assert not any(image.tobytes() in trained_on for image in examples.inputs["x"])


def test_split_is_a_third_and_two_thirds_of_scikit_learns_digits() -> None:
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
    from zoo.train_digits import split_digits

    split = split_digits()
    images, labels = datasets.load_digits(return_X_y=True)
    assert (len(split.held_out), len(split.train)) == (HELD_OUT, len(images) - HELD_OUT)
    np.testing.assert_array_equal(images[split.held_out_index], split.held_out)
    np.testing.assert_array_equal(labels[split.held_out_index], split.held_out_labels)


def test_build_does_not_need_scikit_learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn", None)
    get_card("digits-mlp").build(NoOptions(), tmp_path)
    assert list(contents(tmp_path)) == ["digits-mlp.onnx"]
