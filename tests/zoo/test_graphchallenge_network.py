"""The generated networks have the official ones' structure; inputs look like the official ones."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from zoo.graphchallenge import network, reference, samples

OFFICIAL = Path(__file__).parents[3] / "shared" / "data" / "graphchallenge"
WEIGHTS = OFFICIAL / "neuron1024-l120-weights.npz"
needs_official = pytest.mark.skipif(not OFFICIAL.is_dir(), reason="the official files are not in ../shared/data")

SIZES = [(1024, 6), (4096, 8), (16384, 10)]


@needs_official
@pytest.mark.parametrize("layer", range(6))
def test_generated_first_block_is_the_official_networks(layer: int) -> None:
    official, generated = network.load_official(WEIGHTS, 1024, 120), network.generate(1024, 120, seed=0)
    np.testing.assert_array_equal(official.reads(layer), generated.reads(layer))
    assert (official.weight, official.ceiling) == (generated.weight, generated.ceiling)
    assert official.bias == pytest.approx(generated.bias)


@needs_official
@pytest.mark.parametrize("block", [1, 7, 19])
def test_official_later_blocks_permute_the_read_side_alone(block: int) -> None:
    """One pi per block: found from its layers, it must turn the first block's reads into this block's."""
    official = network.load_official(WEIGHTS, 1024, 120)
    first, later = _readers(official, 0), _readers(official, block)
    assert sorted(first) == sorted(later)
    assert first != later


def test_generated_later_blocks_are_the_first_with_one_permutation_each() -> None:
    generated = network.generate(1024, 120, seed=5)
    readers = [sorted(_readers(generated, block)) for block in range(3)]
    assert readers[0] == readers[1] == readers[2]
    assert _readers(generated, 1) != _readers(generated, 2)


@pytest.mark.parametrize(("neurons", "period"), SIZES)
def test_every_neuron_reads_32_others_and_is_read_by_32(neurons: int, period: int) -> None:
    for layer in (0, period - 1, period, 2 * period + 1):
        reads = network.generate(neurons, 120, seed=1).reads(layer)
        assert reads.shape == (neurons, 32)
        assert (np.diff(reads, axis=1) > 0).all()
        assert (np.bincount(reads.ravel(), minlength=neurons) == 32).all()


@pytest.mark.parametrize("block", [0, 2])
def test_every_set_read_is_read_by_16_rows_or_32_in_a_blocks_last_layer(block: int) -> None:
    generated = network.generate(1024, 120, seed=0)
    for position in range(6):
        sets = Counter(row.tobytes() for row in generated.reads(6 * block + position))
        assert set(sets.values()) == {32 if position == 5 else 16}


@pytest.mark.parametrize("block", [0, 1])
def test_a_layer_by_itself_falls_into_as_many_components_as_its_shift(block: int) -> None:
    generated = network.generate(1024, 120, seed=0)
    parts = [_components(generated.reads(6 * block + position)) for position in range(6)]
    assert parts == [1, 2, 4, 8, 16, 32]


def test_bias_depends_on_the_size() -> None:
    biases = [network.generate(n, 1, 0).bias for n in (1024, 4096, 16384, 65536)]
    assert biases == [-0.30, -0.35, -0.40, -0.45]


def test_reference_equals_scipy() -> None:
    generated = network.generate(1024, 9, seed=2)
    x = samples.generated(1024, 30, seed=2)
    y = x.astype(np.float64)
    for layer in range(9):
        weight = _matrix(generated.reads(layer))
        y = np.clip(np.asarray(weight @ y.T).T / 16 - 0.3, 0, 32)
    np.testing.assert_allclose(reference.run(generated, x), y, rtol=1e-5, atol=1e-5)


def test_reference_does_not_depend_on_how_samples_are_cut_up(monkeypatch: pytest.MonkeyPatch) -> None:
    generated, x = network.generate(1024, 8, seed=0), samples.generated(1024, 30, seed=0)
    whole = reference.run(generated, x)
    monkeypatch.setattr(reference, "CHUNK_BYTES", 7 * 4 * 1024)
    np.testing.assert_array_equal(reference.run(generated, x), whole)


def test_generated_inputs_do_not_depend_on_how_many_are_asked_for() -> None:
    np.testing.assert_array_equal(samples.generated(1024, 50, seed=3)[:20], samples.generated(1024, 20, seed=3))


def test_generated_inputs_light_as_many_pixels_as_the_official_ones() -> None:
    x = samples.generated(1024, 1000, seed=0)
    assert set(np.unique(x)) == {0, 1}
    assert 0.09 < x.mean() < 0.12
    assert x.any(axis=1).all()
    assert len(np.unique(x, axis=0)) == len(x)


def test_some_generated_samples_die_and_some_live_to_the_end() -> None:
    alive = reference.run(network.generate(1024, 24, seed=0), samples.generated(1024, 400, seed=0)).any(axis=1)
    assert 0.01 < alive.mean() < 0.10


@pytest.mark.parametrize(("neurons", "side"), [(4096, 64), (16384, 128), (65536, 256)])
def test_inputs_of_larger_networks_are_the_same_images_enlarged(neurons: int, side: int) -> None:
    small = samples.generated(1024, 3, seed=0).reshape(3, 32, 32)
    large = samples.generated(neurons, 3, seed=0).reshape(3, side, side)
    step = side // 32
    for top, left in ((0, 0), (step - 1, step - 1)):
        np.testing.assert_array_equal(large[:, top::step, left::step], small)


def _readers(net: network.Network, block: int) -> list[bytes]:
    """Per neuron read: which rows read it, in each of the block's layers. A permutation pi only reorders this list."""
    matrices = [_matrix(net.reads(6 * block + position)).toarray() for position in range(6)]
    return [column.tobytes() for column in np.concatenate(matrices).T.astype(bool)]


def _matrix(reads: network.Reads) -> csr_array[np.float64, tuple[int, int]]:
    """[neurons, neurons]: ones where row i reads neuron j."""
    neurons, fan_in = reads.shape
    pointers = np.arange(0, neurons * fan_in + 1, fan_in)
    return csr_array((np.ones(reads.size), reads.ravel().astype(np.int64), pointers), shape=(neurons, neurons))


def _components(reads: network.Reads) -> int:
    """Components of the graph between rows and the neurons that they read."""
    neurons, fan_in = reads.shape
    rows = np.repeat(np.arange(neurons), fan_in)
    graph = csr_array((np.ones(reads.size), (rows, reads.ravel() + neurons)), shape=(2 * neurons, 2 * neurons))
    return int(connected_components(graph, directed=False)[0])
