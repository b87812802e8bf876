"""Built networks of the zoo, deployed: four ranks over the queue answer what onnxruntime answers."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from client.verify import reference
from client.verify_compare import compare
from runs.values import dump_npz
from tests.conftest import Deployment
from tests.zoo.test_networks import SMALL, network

WORKERS = 4


@pytest.mark.parametrize(
    ("name", "strategy"), [("decoder", "row"), ("encoder", "column"), ("recommender", "column"), ("resnet", "row")]
)
def test_sls_invoke_answers_what_onnxruntime_answers(
    deployment: Deployment, name: str, strategy: str, tmp_path: Path
) -> None:
    card = network(name)
    options = card.parse(SMALL[name])
    inputs = dict(card.inputs(options, 3))
    deployment.client.register(name, strategy=strategy, workers=WORKERS, options=SMALL[name])
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"model": name, "inputs_npz": base64.b64encode(dump_npz(inputs)).decode()}))
    done = deployment.run("sls", "invoke", "-f", "infer", "--path", str(event))
    deployment.client.remove(name)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["status"], answer["channel"], answer["workers"]) == ("done", "queue", WORKERS)
    outputs = {key: np.array(value, np.float32) for key, value in answer["outputs"].items()}
    difference = compare(reference(card.build(options, tmp_path), inputs), outputs)
    assert difference.ok, difference.problems
