"""The contract suite of cards: what every card promises, as tests. A card's test file subclasses it:

class TestMyCard(CardContract):
    card = my_card
    given = {"layers": 2}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import onnxruntime as ort

from zoo.card import NAME_PATTERN, Card, Examples
from zoo.errors import OptionError, ZooError


class CardContract:
    """Run by pytest on each subclass whose name starts with `Test`.

    card:  the card on trial.
    given: options of a model small enough to build and run several times in a test.
    count: number of examples to run; enough for a wrong model to be noticed.
    """

    card: Card[Any]
    given: ClassVar[Mapping[str, object]] = {}
    count: int = 8

    def build(self, folder: Path) -> Path:
        """The model, built with `given`."""
        return self.card.build(self.card.parse(self.given), folder)

    def examples(self) -> Examples:
        """`count` examples for `given`."""
        return self.card.examples(self.card.parse(self.given), self.count)

    def test_name_and_summary_fit_one_line(self) -> None:
        """It can be listed, and be part of a key or a path."""
        assert NAME_PATTERN.fullmatch(self.card.name)
        assert self.card.summary
        assert self.card.summary.isprintable()

    def test_every_option_has_help_and_a_default_that_it_accepts(self) -> None:
        """Defaults are values like any other."""
        assert all(spec.help.isprintable() and spec.help for spec in self.card.specs)
        defaults = {spec.name: spec.default for spec in self.card.specs}
        assert self.card.parse(defaults) == self.card.parse({})

    def test_unknown_option_is_refused_with_the_known_ones(self) -> None:
        """A typing error is not ignored."""
        message = refusal(self.card, {"no-such-option": "1"})
        assert "no-such-option" in message
        assert all(spec.name in message for spec in self.card.specs)

    def test_bad_value_is_refused_by_name(self) -> None:
        """In one line, whatever the value holds."""
        for spec in self.card.specs:
            if spec.type in (bool, int, float):
                assert spec.name in refusal(self.card, {spec.name: "no\nvalue"})

    def test_model_is_valid_onnx_named_after_the_card(self, tmp_path: Path) -> None:
        """In a folder that it makes, and the checker accepts it."""
        path = self.build(tmp_path / "new")
        assert path == tmp_path / "new" / f"{self.card.name}.onnx"
        onnx.checker.check_model(path)

    def test_same_options_give_same_bytes(self, tmp_path: Path) -> None:
        """Deterministic: a version is the hash of these bytes."""
        self.build(tmp_path / "a")
        self.build(tmp_path / "b")
        assert contents(tmp_path / "a") == contents(tmp_path / "b")

    def test_examples_fit_the_models_inputs(self, tmp_path: Path) -> None:
        """Names, types and shapes; axis 0 counts the examples."""
        examples = self.examples()
        inputs = session(self.build(tmp_path)).get_inputs()
        assert {i.name for i in inputs} == set(examples.inputs)
        for wanted in inputs:
            array = examples.inputs[wanted.name]
            assert len(array) == self.count
            assert fits(array, wanted), f"{wanted.name}: {array.dtype} {array.shape}"

    def test_examples_are_the_same_every_time(self) -> None:
        """Inputs are seeded."""
        first, second = self.examples(), self.examples()
        for name, array in first.inputs.items():
            np.testing.assert_array_equal(array, second.inputs[name])

    def test_onnxruntime_answers_right(self, tmp_path: Path) -> None:
        """The model does what the card says it does."""
        verdict = self.card.check(run(self.build(tmp_path), self.examples()), self.examples())
        assert verdict.ok, verdict.text
        assert 0 <= verdict.right <= verdict.total
        assert verdict.text.isprintable()

    def test_wrong_answer_is_noticed(self, tmp_path: Path) -> None:
        """The check can fail."""
        outputs = run(self.build(tmp_path), self.examples())
        wrong = {name: -array - 1 for name, array in outputs.items()}
        assert not self.card.check(wrong, self.examples()).ok

    def test_missing_output_is_refused(self) -> None:
        """By its name, in one line."""
        assert "no-such-output" in error_of(lambda: self.card.check({"no-such-output": np.zeros(1)}, self.examples()))

    def test_count_below_one_is_refused(self) -> None:
        """There is no empty batch."""
        options = self.card.parse(self.given)
        for count in (0, -1):
            assert str(count) in error_of(partial(self.card.examples, options, count))


def refusal(card: Card[Any], given: Mapping[str, object]) -> str:
    """The one line with which a card refuses options."""
    return error_of(lambda: card.parse(given), OptionError)


def error_of(call: Callable[[], object], kind: type[ZooError] = ZooError) -> str:
    """The message of the error that `call` must raise, which must be one line."""
    try:
        call()
    except kind as error:
        message = str(error)
    else:
        raise AssertionError(f"expected {kind.__name__}, nothing was raised")
    assert message.isprintable(), f"expected one line, got {message!r}"
    return message


def contents(folder: Path) -> dict[str, bytes]:
    """Bytes by path of all files below folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def session(path: Path) -> ort.InferenceSession:
    """The model in onnxruntime, on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(path: Path, examples: Examples) -> dict[str, Any]:
    """onnxruntime's outputs by name."""
    model = session(path)
    names = [output.name for output in model.get_outputs()]
    return dict(zip(names, model.run(names, dict(examples.inputs)), strict=True))


_DTYPES = {"float": "float32", "double": "float64"}


def fits(array: np.ndarray[Any, Any], wanted: ort.NodeArg) -> bool:
    """Whether an array has the type and shape of a graph input; symbolic dimensions take any size."""
    element = wanted.type.removeprefix("tensor(").removesuffix(")")
    sizes = zip(array.shape, wanted.shape, strict=False)
    return (
        array.dtype.name == _DTYPES.get(element, element)
        and array.ndim == len(wanted.shape)
        and all(want == got for got, want in sizes if isinstance(want, int))
    )
