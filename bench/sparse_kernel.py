"""The sparse layer in C beside scipy's CSR product followed by bias and clip: `python -m bench.sparse_kernel`.

Both run in turns in one thread of one process, so what else the machine does hits both; the ratio of medians is what
counts. Matrices are layers of the Graph Challenge network: its first block, and one that reads permuted neurons.
"""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from client.tables import align
from engine.csr import Csr, csr
from engine.native import native_library
from engine.sparse_layer import SparseLayer, Tail
from partition.sparse.weights import index_type
from zoo.graphchallenge.network import BIAS, CEILING, FAN_IN, WEIGHT, generate

Array = NDArray[Any]
CASES = ((1024, 337), (1024, 2054), (16384, 337))
"""(neurons, live samples): of 10,000 official samples 2,054 are alive after layer 4, 337 from layer 14 on."""
LAYERS = (3, 13)
ROUNDS = 15


@dataclass(frozen=True)
class Pair:
    """One comparison: medians in seconds over ROUNDS, and the most memory that ours took, in activations' bytes."""

    neurons: int
    layer: int
    live: int
    ours_s: float
    numpy_s: float
    scipy_s: float
    copies: float


def compare(neurons: int, layer: int, live: int) -> Pair:
    """Measure one layer at one number of live samples.

    Raises:
        AssertionError: if the results differ by more than rounding.
    """
    rng = np.random.default_rng([neurons, live])
    matrix, x = _matrix(neurons, layer), _activation(rng, neurons, live)
    tail = Tail(np.array([BIAS[neurons]]), 0.0, CEILING)
    native, plain = SparseLayer(matrix, native_library()), SparseLayer(matrix, None)
    values: Array = matrix.value_of_each.copy()
    peer = sparse.csr_array((values, matrix.indices.astype(np.int32), matrix.indptr), shape=(neurons, neurons))
    contenders: list[Callable[[], Array]] = [
        lambda: native(x, tail)[0],
        lambda: plain(x, tail)[0],
        lambda: _scipy_layer(peer, x, BIAS[neurons]),
    ]
    for contender in contenders:
        np.testing.assert_allclose(contender(), contenders[-1](), rtol=1e-5, atol=1e-5)
    ours_s, numpy_s, scipy_s = _medians(contenders)
    return Pair(neurons, layer, live, ours_s, numpy_s, scipy_s, _peak_bytes(contenders[0]) / x.nbytes)


def _matrix(neurons: int, layer: int) -> Csr:
    """As the compiler stores it."""
    reads = generate(neurons, layer + 1, seed=0).reads(layer)
    indptr = np.arange(0, reads.size + 1, FAN_IN, dtype=np.int32)
    return csr(indptr, reads.astype(index_type(neurons)).ravel(), np.full(1, WEIGHT, np.float32))


def _activation(rng: np.random.Generator, neurons: int, live: int) -> Array:
    """Half of the elements zero, the others up to the ceiling."""
    values = rng.random((neurons, live), np.float32) * np.float32(CEILING)
    return np.where(rng.random((neurons, live)) < 0.5, np.float32(0), values)


def _scipy_layer(matrix: Any, x: Array, bias: float) -> Array:
    product: Array = matrix @ x
    product += np.float32(bias)
    return np.clip(product, 0, np.float32(CEILING), out=product)


def _medians(contenders: list[Callable[[], Array]]) -> list[float]:
    seconds: list[list[float]] = [[] for _ in contenders]
    for _ in range(ROUNDS):
        for contender, found in zip(contenders, seconds, strict=True):
            started = time.perf_counter()
            contender()
            found.append(time.perf_counter() - started)
    return [statistics.median(found) for found in seconds]


def _peak_bytes(contender: Callable[[], Array]) -> int:
    """Most memory held at a time beside the input."""
    tracemalloc.start()
    contender()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def table(pairs: list[Pair]) -> Iterator[str]:
    """The result as aligned text."""
    head = ("N", "layer", "live", "C ms", "scipy ms", "scipy / C", "numpy / C", "memory, activations")
    rows = [
        (
            *map(str, (pair.neurons, pair.layer, pair.live)),
            f"{pair.ours_s * 1e3:.2f}",
            f"{pair.scipy_s * 1e3:.2f}",
            f"{pair.scipy_s / pair.ours_s:.2f}",
            f"{pair.numpy_s / pair.ours_s:.2f}",
            f"{pair.copies:.2f}",
        )
        for pair in pairs
    ]
    yield from align([head, *rows])


def main() -> None:
    """Compare all cases and print the table."""
    print(*table([compare(neurons, layer, live) for neurons, live in CASES for layer in LAYERS]), sep="\n")


if __name__ == "__main__":
    main()
