"""`fsd zoo`, and `fsd verify` of a card: inputs are the card's own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from client.cli import main

SMALL = ["--option", "layers=1", "--option", "vocabulary=100"]


def test_one_model_is_listed_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zoo", "decoder", "--json"]) == 0
    (card,) = json.loads(capsys.readouterr().out)
    assert card["name"] == "decoder"
    assert "kv_heads" in [option["name"] for option in card["options"]]


def test_inputs_of_a_card_are_written_for_infer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "inputs"
    assert main(["zoo", "decoder", "--inputs", str(path), "--count", "2", *SMALL]) == 0
    with np.load(path, allow_pickle=False) as arrays:
        assert set(arrays) == {
            "input_ids",
            "attention_mask",
            "position_ids",
            "past_key_values.0.key",
            "past_key_values.0.value",
        }
        assert arrays["input_ids"].shape == (2, 8)
    assert "input_ids int64[2, 8]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--inputs", "x.npz"], "--inputs: expected the name of a model to write them for, got none"),
        (["decoder", "--inputs", "x.npz", "--count", "0"], "decoder, examples: expected a count >= 1, got 0"),
        (["nobody"], "unknown card 'nobody'"),
        (["decoder", "--inputs", "/no/such/folder/x.npz"], "No such file or directory"),
    ],
)
def test_a_wrong_call_gets_one_line(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["zoo", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_card_whose_inputs_depend_on_each_other_is_verified_on_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "decoder", "--workers", "2", "--strategy", "row", "--json", *SMALL]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
