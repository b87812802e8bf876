"""The `fsd` command: what it prints, and what bad input gets: one line, exit status 2, nothing half-registered."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import Deployment

Digits = dict[str, NDArray[Any]]
Register = Callable[[str, int], str]


@pytest.fixture(scope="module")
def digits_file(digits: Digits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inputs") / "x.npz"
    np.savez(path, **digits)  # type: ignore[arg-type]
    return path


def test_register_infer_result_bill_and_rm(
    deployment: Deployment, digits_file: Path, digits_expected: NDArray[np.float32], tmp_path: Path
) -> None:
    done = deployment.run(
        "fsd", "register", "digits-mlp", "--name", "mine", "--strategy", "row", "--workers", "2", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "mine"
    listed = json.loads(deployment.run("fsd", "models", "--json").stdout)
    assert {"name", "version", "inputs", "outputs", "strategy", "workers", "shard_bytes"} <= set(listed[0])
    assert "mine" in [entry["name"] for entry in listed]
    output = tmp_path / "y.npz"
    done = deployment.run("fsd", "infer", "mine", "--input", str(digits_file), "--output", str(output), "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert {"run_id", "status", "seconds", "phases", "ranks", "calls", "usd"} <= set(figures)
    assert {"rank", "seconds", "peak_bytes", "weight_bytes", "shard_loads", "cold"} <= set(figures["ranks"][0])
    assert set(figures["calls"]["sqs:SendMessage"]) == {"requests", "units", "bytes"}
    assert figures["usd"]["total"] > 0
    assert np.abs(np.load(output)["y"] - digits_expected).max() <= 1e-5
    shown = json.loads(deployment.run("fsd", "result", figures["run_id"], "--json").stdout)
    assert shown["calls"] == figures["calls"]
    bill = json.loads(deployment.run("fsd", "bill", figures["run_id"], "--json").stdout)
    assert bill["calls"] == figures["calls"]
    assert deployment.run("fsd", "rm", "mine").returncode == 0
    assert "mine" not in deployment.run("fsd", "models").stdout


def test_zoo_lists_the_cards_and_their_options(deployment: Deployment) -> None:
    shown = deployment.run("fsd", "zoo").stdout
    assert "digits-mlp" in shown
    assert "--option layers=120" in shown
    names = [card["name"] for card in json.loads(deployment.run("fsd", "zoo", "--json").stdout)]
    assert names == sorted(names)
    assert "graphchallenge-1024" in names


def _wrong_inputs() -> dict[str, tuple[Digits, str]]:
    x = np.zeros((2, 64), np.float32)
    return {
        "name": ({"z": x}, "'z'.*takes 'x'"),
        "extra": ({"x": x, "z": x}, "'z'"),
        "shape": ({"x": x[:, :60]}, r"\[batch, 64\].*\[2, 60\]"),
        "rank": ({"x": x[0]}, r"\[64\]"),
        "dtype": ({"x": x.astype(np.float64)}, "float32.*float64"),
        "empty": ({"x": x[:0]}, "at least one"),
    }


@pytest.mark.parametrize("kind", list(_wrong_inputs()))
def test_wrong_inputs_are_one_line(
    deployment: Deployment, registered_digits: Register, tmp_path: Path, kind: str
) -> None:
    inputs, pattern = _wrong_inputs()[kind]
    path = tmp_path / "x.npz"
    np.savez(path, **inputs)  # type: ignore[arg-type]
    _refused(deployment, pattern, "infer", registered_digits("row", 2), "--input", str(path))


@pytest.mark.parametrize(
    ("pattern", "arguments"),
    [
        ("unknown.*digits-mlp", ["register", "no-such-card"]),
        ("no such file", ["register", "./missing.onnx"]),
        ("workers.*0", ["register", "digits-mlp", "--name", "never", "--workers", "0"]),
        ("workers.*-3", ["register", "digits-mlp", "--name", "never", "--workers", "-3"]),
        ("strategy.*row.*sideways", ["register", "digits-mlp", "--name", "never", "--strategy", "sideways"]),
        ("name.*UPPER", ["register", "digits-mlp", "--name", "UPPER"]),
        ("depth", ["register", "graphchallenge-1024", "--name", "never", "--option", "depth=3"]),
        ("layers", ["register", "graphchallenge-1024", "--name", "never", "--option", "layers=many"]),
        ("NAME=VALUE", ["register", "graphchallenge-1024", "--name", "never", "--option", "layers"]),
        ("no-such-model", ["infer", "no-such-model", "--input", "{x}"]),
        ("pigeon.*queue", ["infer", "{digits}", "--input", "{x}", "--channel", "pigeon"]),
        ("no such file", ["infer", "{digits}", "--input", "missing.npz"]),
        ("not registered", ["rm", "no-such-model"]),
        ("not known", ["result", "0" * 32]),
        ("run", ["result", "../../models"]),
        ("not in the logs", ["bill", "0" * 32]),
    ],
)
def test_bad_calls_are_one_line_and_leave_nothing(
    deployment: Deployment, registered_digits: Register, digits_file: Path, pattern: str, arguments: list[str]
) -> None:
    words = {"{x}": str(digits_file), "{digits}": registered_digits("row", 2)}
    before = deployment.run("fsd", "models").stdout
    _refused(deployment, pattern, *(words.get(argument, argument) for argument in arguments))
    assert deployment.run("fsd", "models").stdout == before


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x01" * 500, b"\x00" * 4096])
def test_a_file_that_is_no_onnx_is_one_line(deployment: Deployment, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    _refused(deployment, "broken.onnx|ONNX|onnx", "register", str(path))
    assert "broken" not in deployment.run("fsd", "models").stdout


def test_a_cloud_that_is_not_running_is_one_line(deployment: Deployment) -> None:
    environment = {**deployment.environment, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    done = _run(environment, "fsd", "models")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "does not answer" in done.stderr


def test_wrong_events_to_sls_invoke_are_typed_errors(deployment: Deployment, registered_digits: Register) -> None:
    name = registered_digits("row", 2)
    for event, pattern in (
        ({}, "model"),
        ({"model": name}, "exactly one of inputs"),
        ({"model": name, "inputs": {"x": [[1, 2], [3]]}}, "ragged"),
        ({"model": name, "inputs": {"x": [["a"] * 64]}}, "float32"),
        ({"model": name, "inputs": {"x": [[0] * 64]}, "channel": "pigeon"}, "queue, object"),
        ({"model": name, "inputs": {"x": [[0] * 64]}, "wait": 3}, "unknown field"),
        ({"model": name, "inputs_uri": "s3://another-bucket/x.npz"}, "inputs_uri"),
        ({"model": "../bundles", "inputs": {"x": [[0] * 64]}}, "model"),
        ({"model": "absent", "inputs": {"x": [[0] * 64]}}, "not registered"),
    ):
        answer = json.loads(deployment.run("sls", "invoke", "-f", "infer", "-d", json.dumps(event)).stdout)
        assert answer["status"] == "failed"
        assert pattern in answer["error"]["message"]
        assert answer["error"]["retry"] is False


def _refused(deployment: Deployment, pattern: str, *arguments: str) -> None:
    import re

    done = deployment.run("fsd", *arguments)
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    lines = done.stderr.strip().splitlines()
    assert "Traceback" not in done.stderr
    assert re.search(pattern, lines[-1], re.IGNORECASE), done.stderr
    assert len(lines) == 1, done.stderr


def _run(environment: dict[str, str], *command: str) -> Any:
    import subprocess

    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
