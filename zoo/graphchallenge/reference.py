"""What a network computes, in numpy alone: the right answer where none is published."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zoo.graphchallenge.network import Network, Reads

CHUNK_BYTES = 1 << 26


def run(network: Network, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """x: [samples, neurons] -> y: [samples, neurons], a bounded number of samples at a time."""
    size = max(1, CHUNK_BYTES // (4 * network.neurons))
    return np.concatenate([_run_chunk(network, x[i : i + size]) for i in range(0, len(x), size)])


def _run_chunk(network: Network, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Feature-major, without the samples that are all zero: as the bias is negative, they stay zero."""
    values, live = np.ascontiguousarray(x.T), np.arange(len(x))
    for layer in range(network.layers):
        keep = values.any(axis=0)
        values, live = values[:, keep], live[keep]
        values = _layer(network, layer, values)
    y = np.zeros_like(x)
    y[live] = values.T
    return y


def _layer(network: Network, layer: int, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """values: [neurons, live] -> [neurons, live]."""
    reads = network.reads(layer)
    total = _summed(reads, values, network.weights(layer) if network.weights else None)
    if network.weights is None:
        total *= np.float32(network.weight)
    total += np.float32(network.bias)
    return np.clip(total, 0, np.float32(network.ceiling), out=total)


def _summed(reads: Reads, values: NDArray[np.float32], weights: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """The sum of what each neuron reads, [neurons, live], weighted where weights are given."""
    total = np.zeros_like(values)
    for place, column in enumerate(reads.T):
        total += values[column] if weights is None else values[column] * weights[:, place, None]
    return total
