"""The larger Graph Challenge networks, cut down in layers: external sparse weights, and answers against scipy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from client.verify import run_split
from partition import InvalidModelError
from partition.frontend import load
from zoo.graphchallenge import GraphChallenge, Options, export, graphchallenge_4096, graphchallenge_65536
from zoo.graphchallenge.network import Network


def by_scipy(network: Network, x: np.ndarray) -> np.ndarray:
    """[samples, N] -> [samples, N], by products of CSR matrices."""
    values = x.T
    for layer in range(network.layers):
        reads = network.reads(layer)
        weights = network.weights(layer) if network.weights else np.full(reads.shape, network.weight, np.float32)
        indptr = np.arange(0, reads.size + 1, reads.shape[1])
        matrix = csr_array((weights.ravel(), reads.ravel(), indptr), (network.neurons, network.neurons))
        values = np.clip(matrix @ values + np.float32(network.bias), 0, network.ceiling)
    return np.ascontiguousarray(values.T)


@pytest.mark.parametrize(
    ("card", "options", "workers", "strategy"),
    [
        (graphchallenge_4096, Options(layers=10), 3, "row"),
        (graphchallenge_4096, Options(layers=3), 2, "column"),
        (graphchallenge_4096, Options(layers=2, control=True), 2, "row"),
        (graphchallenge_65536, Options(layers=2), 4, "row"),
    ],
)
def test_answers_are_scipys(
    card: GraphChallenge, options: Options, workers: int, strategy: str, tmp_path: Path
) -> None:
    x = card.examples(options, 12).inputs["x"]
    y = run_split(card.build(options, tmp_path), {"x": x}, workers, strategy)["y"]
    np.testing.assert_allclose(y, by_scipy(card.network(options), x), rtol=1e-4, atol=1e-4)


def external(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(export, "ONE_FILE_BYTES", 1 << 20)
    return graphchallenge_4096.build(Options(layers=2), tmp_path / "external")


def test_sparse_weights_are_the_same_in_external_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = load(graphchallenge_4096.build(Options(layers=2), tmp_path / "inside")).sparse
    outside = load(external(tmp_path, monkeypatch)).sparse
    assert sorted(inside) == sorted(outside)
    for name, weight in inside.items():
        np.testing.assert_array_equal(weight.indices, outside[name].indices)
        np.testing.assert_array_equal(weight.values, outside[name].values)


def test_external_data_that_is_cut_short_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = external(tmp_path, monkeypatch)
    data = path.with_name(path.name + ".data")
    data.write_bytes(data.read_bytes()[:-8])
    with pytest.raises(InvalidModelError, match="of external data"):
        load(path)
