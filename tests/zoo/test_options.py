"""Options: read from text or typed values, or refused in one line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.errors import OptionError
from zoo.options import NoOptions, option, option_specs, parse_options


@dataclass(frozen=True)
class Options:
    """One option of each type."""

    layers: int = option(3, "number of layers", minimum=1)
    rate: float = option(0.5, "a rate")
    dense: bool = option(False, "store zeros")
    label: str = option("a", "a label")
    data: Path | None = option(None, "a folder")  # noqa: RUF009


def parse(**values: object) -> Options:
    return parse_options("my-card", Options, values)


def test_what_is_not_given_gets_its_default() -> None:
    assert parse() == Options(3, 0.5, False, "a", None)


def test_text_and_typed_values_mean_the_same() -> None:
    text = parse(layers="7", rate="0.25", dense="True", label="b", data="some/where")
    typed = parse(layers=7, rate=0.25, dense=True, label="b", data=Path("some/where"))
    assert text == typed == Options(7, 0.25, True, "b", Path("some/where"))


@pytest.mark.parametrize(("text", "value"), [("yes", True), ("1", True), ("off", False), ("FALSE", False)])
def test_bool_is_read_from_the_usual_words(text: str, value: bool) -> None:
    assert parse(dense=text).dense is value


def test_none_is_accepted_where_it_is_a_default_only() -> None:
    assert parse(data=None).data is None
    with pytest.raises(OptionError, match="expected int >= 1, got None"):
        parse(layers=None)


def test_integer_is_accepted_for_a_float() -> None:
    assert parse(rate=2).rate == 2.0


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("layers", "x", "int >= 1, got 'x'"),
        ("layers", "0", "int >= 1, got '0'"),
        ("layers", 2.5, "int >= 1, got 2.5"),
        ("layers", True, "int >= 1, got True"),
        ("rate", "fast", "float, got 'fast'"),
        ("dense", "maybe", "bool true or false, got 'maybe'"),
        ("dense", 1, "bool true or false, got 1"),
        ("label", 5, "str, got 5"),
        ("data", "", "Path, got ''"),
    ],
)
def test_bad_value_is_refused_with_what_was_expected(name: str, value: object, expected: str) -> None:
    with pytest.raises(OptionError) as error:
        parse(**{name: value})
    assert str(error.value).startswith(f"my-card, option {name} (")
    assert str(error.value).endswith(f"expected {expected}")


def test_unknown_option_lists_the_known_ones_with_their_defaults() -> None:
    with pytest.raises(OptionError) as error:
        parse(layer="3")
    assert str(error.value) == (
        "my-card has no option 'layer'; known options: layers (int, default 3), rate (float, default 0.5), "
        "dense (bool, default false), label (str, default a), data (Path, default none)"
    )


def test_card_without_options_says_so() -> None:
    with pytest.raises(OptionError, match="has no option 'x'; known options: none"):
        parse_options("my-card", NoOptions, {"x": "1"})


@given(st.text())
def test_any_text_is_a_value_or_one_line(text: str) -> None:
    try:
        layers = parse(layers=text).layers
    except OptionError as error:
        message = str(error)
    else:
        message, text = "", str(layers)
    assert message.isprintable()
    assert len(message) < 200
    assert message or int(text) >= 1


def test_annotation_that_is_no_option_type_is_the_authors_bug() -> None:
    @dataclass(frozen=True)
    class Bad:
        sizes: tuple[int, ...] = option((), "no option type")

    with pytest.raises(TypeError, match="option sizes: expected bool, int, float, str or Path"):
        option_specs(Bad)
