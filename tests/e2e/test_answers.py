"""A deployed function answers over a real channel what onnxruntime answers in one process."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runs.values import dump_npz
from tests.conftest import Deployment
from tests.e2e.world import await_usage
from zoo.registry import get_card

Digits = dict[str, NDArray[Any]]
Register = Callable[[str, int], str]


@pytest.mark.parametrize("workers", range(1, 9))
@pytest.mark.parametrize("strategy", ["batch", "column", "row"])
def test_digits_equal_onnxruntime_for_every_strategy_and_world_size(
    deployment: Deployment,
    registered_digits: Register,
    digits: Digits,
    digits_expected: NDArray[np.float32],
    strategy: str,
    workers: int,
) -> None:
    channel = "queue" if workers % 2 else "object"
    answer = deployment.client.infer(registered_digits(strategy, workers), digits, channel=channel)
    assert np.abs(answer.outputs["y"] - digits_expected).max() <= 1e-5
    assert [rank["rank"] for rank in answer.figures["ranks"]] == list(range(workers))


def test_serial_equals_onnxruntime(
    deployment: Deployment, registered_digits: Register, digits: Digits, digits_expected: NDArray[np.float32]
) -> None:
    answer = deployment.client.infer(registered_digits("serial", 1), digits)
    assert np.abs(answer.outputs["y"] - digits_expected).max() <= 1e-5


@pytest.mark.parametrize(("strategy", "workers", "channel"), [("row", 2, "queue"), ("column", 3, "object")])
def test_the_official_network_leaves_exactly_the_true_samples_alive(
    deployment: Deployment, graphchallenge_data: Path, strategy: str, workers: int, channel: str
) -> None:
    card = get_card("graphchallenge-1024")
    given = {"data": str(graphchallenge_data)}
    examples = card.examples(card.parse(given), 10_000)
    name = f"official-{strategy}-{workers}"
    deployment.client.register(card.name, name=name, strategy=strategy, workers=workers, options=given)
    y = deployment.client.infer(name, examples.inputs, channel=channel).outputs["y"]
    deployment.client.remove(name)
    truth = np.loadtxt(graphchallenge_data / "neuron1024-l120-categories.tsv", dtype=np.int64)
    alive = np.flatnonzero(y.any(axis=1)) + 1
    assert alive.tolist() == truth[truth <= 10_000].tolist()
    assert alive.size == 337


def test_sls_invoke_answers_nested_lists(
    deployment: Deployment, registered_digits: Register, digits: Digits, digits_expected: NDArray[np.float32]
) -> None:
    event = {"model": registered_digits("row", 3), "inputs": {"x": digits["x"][:2].tolist()}}
    done = deployment.run("sls", "invoke", "-f", "infer", "-d", json.dumps(event))
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["status"] == "done"
    assert np.abs(np.array(answer["outputs"]["y"]) - digits_expected[:2]).max() <= 1e-5


def test_outputs_that_do_not_fit_an_answer_come_by_s3(deployment: Deployment, registered_digits: Register) -> None:
    x = np.random.default_rng(5).normal(size=(200_000, 64)).astype(np.float32)
    answer = deployment.client.infer(registered_digits("row", 2), {"x": x})
    assert answer.figures["outputs_uri"].startswith("s3://")
    assert answer.outputs["y"].shape == (200_000, 10)


def test_a_request_may_name_its_outputs(deployment: Deployment, registered_digits: Register, digits: Digits) -> None:
    answer = deployment.client.infer(registered_digits("row", 2), digits, outputs=["y"])
    assert list(answer.outputs) == ["y"]


def test_the_register_function_compiles_a_zoo_model(deployment: Deployment, digits: Digits) -> None:
    event = {"model": "digits-mlp", "name": "made-in-lambda", "strategy": "column", "workers": 2}
    done = deployment.run("sls", "invoke", "-f", "register", "-d", json.dumps(event))
    assert json.loads(done.stdout)["status"] == "done", done.stdout + done.stderr
    assert deployment.client.infer("made-in-lambda", digits).outputs["y"].shape == (20, 10)
    listed = json.loads(deployment.run("sls", "invoke", "-f", "models").stdout)["models"]
    entry = next(model for model in listed if model["name"] == "made-in-lambda")
    assert (entry["strategy"], entry["workers"]) == ("column", 2)
    assert entry["inputs"] == [{"name": "x", "dtype": "float32", "shape": ["batch", 64]}]


def test_the_register_function_compiles_a_file_on_s3(deployment: Deployment, digits: Digits, tmp_path: Path) -> None:
    card = get_card("digits-mlp")
    stage = deployment.client.stage
    stage.s3.upload_file(str(card.build(card.parse({}), tmp_path)), stage.bucket, "uploads/mine.onnx")
    event = {"model": f"s3://{stage.bucket}/uploads/mine.onnx", "name": "from-s3", "strategy": "row", "workers": 2}
    done = deployment.run("sls", "invoke", "-f", "register", "-d", json.dumps(event))
    assert json.loads(done.stdout)["status"] == "done", done.stdout + done.stderr
    assert deployment.client.infer("from-s3", digits).outputs["y"].shape == (20, 10)


def test_the_same_run_id_is_one_run(deployment: Deployment, registered_digits: Register, digits: Digits) -> None:
    event = {
        "model": registered_digits("row", 2),
        "run_id": "ab" * 16,
        "encoding": "npz",
        "inputs_npz": base64.b64encode(dump_npz(digits)).decode(),
    }
    answers = [json.loads(_invoke(deployment, event)) for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0]["status"] == "done"
    assert len(await_usage(deployment, "ab" * 16, 3)) == 3  # two for rank 0's function, one for the worker


def _invoke(deployment: Deployment, event: dict[str, Any]) -> bytes:
    stage = deployment.client.stage
    answer = stage.functions.invoke(FunctionName=stage.function("infer"), Payload=json.dumps(event).encode())
    return answer["Payload"].read()


@pytest.mark.parametrize("prefer", ["usd", "seconds"])
def test_auto_takes_a_channel_by_the_requests_size(
    deployment: Deployment,
    registered_digits: Register,
    digits: Digits,
    digits_expected: NDArray[np.float32],
    prefer: str,
) -> None:
    name = registered_digits("row", 3)
    few = {"x": digits["x"][:1]}
    many = {"x": np.tile(digits["x"], (60, 1))}
    small, large = (deployment.client.infer(name, x, channel="auto", prefer=prefer) for x in (few, many))
    assert small.figures["channel"] == "queue"
    assert large.figures["channel"] in ("queue", "hybrid", "object")
    if prefer == "usd":
        assert large.figures["channel"] != "queue"
    assert np.abs(small.outputs["y"] - digits_expected[:1]).max() <= 1e-5
    assert np.abs(large.outputs["y"] - np.tile(digits_expected, (60, 1))).max() <= 1e-5
