"""Real models and the official sparse network, where this checkout lies beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import scipy.sparse
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from client.verify import run_split, verify
from tests.partition.models import model

DATA = Path(__file__).parents[3] / "shared" / "data"
MODELS = ("mnist_cnn", "squeezenet_fp16", "super_resolution_core", "ultraface")
LAYERS, SAMPLES, NEURONS = 10, 200, 1024

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not beside this checkout")


@needs_data
@pytest.mark.parametrize("strategy", ["batch", "row", "column", "auto"])
@pytest.mark.parametrize("name", MODELS)
def test_real_model_equals_onnxruntime(name: str, strategy: str) -> None:
    inputs = dict(np.load(DATA / "models" / f"{name}.npz"))
    report = verify(DATA / "models" / f"{name}.onnx", inputs, 3, strategy)
    assert report.ok, report.problems


@needs_data
@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize("strategy", ["row", "column"])
@pytest.mark.parametrize("name", MODELS)
def test_weights_of_a_real_network_are_divided(name: str, strategy: str, workers: int) -> None:
    """Uneven layers of a small network cost it up to a third of a share."""
    inputs = dict(np.load(DATA / "models" / f"{name}.npz"))
    report = verify(DATA / "models" / f"{name}.onnx", inputs, workers, strategy)
    assert report.ok, report.problems
    assert max(rank.weight_bytes for rank in report.ranks) <= 1.34 * report.model_weight_bytes / workers


def official() -> tuple[onnx.ModelProto, list[Any], float]:
    """The first layers of the official network, as ONNX and as scipy matrices [neurons, neurons], and its bias."""
    stored = np.load(DATA / "graphchallenge" / "neuron1024-l120-weights.npz")
    value, bias, top = (np.float32(stored[name]) for name in ("value", "bias", "ymax"))
    outputs = np.repeat(np.arange(NEURONS), 32)
    nodes, sparse, matrices = [], [], []
    for i in range(LAYERS):
        reads = stored["in_neurons"][i].astype(np.int64).reshape(-1)
        places = np.sort(reads * NEURONS + outputs)
        weight = numpy_helper.from_array(np.full(places.size, value), f"w{i}")
        sparse.append(helper.make_sparse_tensor(weight, numpy_helper.from_array(places, f"p{i}"), [NEURONS, NEURONS]))
        matrices.append(scipy.sparse.csr_matrix((np.full(places.size, value), (outputs, reads)), (NEURONS, NEURONS)))
        source, target = ("x" if i == 0 else f"h{i}"), ("y" if i == LAYERS - 1 else f"h{i + 1}")
        nodes += [
            helper.make_node("MatMul", [source, f"w{i}"], [f"m{i}"]),
            helper.make_node("Add", [f"m{i}", "b"], [f"a{i}"]),
            helper.make_node("Clip", [f"a{i}", "low", "high"], [target]),
        ]
    weights: dict[str, NDArray[Any]] = {
        "b": np.full(NEURONS, bias),
        "low": np.zeros((), np.float32),
        "high": np.array(top),
    }
    proto = model(nodes, {"x": ["n", NEURONS]}, ["y"], weights, sparse_initializer=sparse)
    return proto, matrices, float(bias)


@needs_data
@pytest.mark.parametrize(("strategy", "workers"), [("row", 2), ("row", 8), ("column", 3), ("batch", 3), ("serial", 1)])
def test_official_network_equals_scipy(strategy: str, workers: int) -> None:
    proto, matrices, bias = official()
    stored = np.load(DATA / "graphchallenge" / "inputs-1024-10000.npz")
    size = int(np.prod(stored["shape"]))
    x = np.unpackbits(stored["packed"])[:size].reshape(stored["shape"])[:SAMPLES].astype(np.float32)
    want = x
    for matrix in matrices:
        want = np.clip((matrix @ want.T).T + np.float32(bias), 0, 32)
    got = run_split(proto, {"x": x}, workers, strategy)["y"]
    np.testing.assert_allclose(got, want, atol=1e-4)
    np.testing.assert_array_equal(got.any(axis=1), want.any(axis=1))
