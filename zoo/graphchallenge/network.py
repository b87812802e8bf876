"""The Graph Challenge's sparse networks: generated like the official ones, or read from the official files.

A layer of N neurons is kron(ones(16, 16), I + cyclic shift by s) of size n = N/16, for s = 1, 2, 4, ..., n/2. After
these log2(n) layers, a block, the next begins; in every block but the first the neurons that are read are permuted by
one random pi: where the first block reads neuron j, block b reads pi_b(j).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile
from zlib import error as ZlibError

import numpy as np
from numpy.typing import NDArray

from zoo.errors import DataError

FAN_IN = 32
COPIES = 16
WEIGHT = 1 / 16
CEILING = 32.0
BIAS = {1024: -0.30, 4096: -0.35, 16384: -0.40, 65536: -0.45}
"""Bias of every neuron by N; source: graphchallenge.mit.edu, sparse DNN challenge."""

_DAMAGED = (OSError, EOFError, ValueError, KeyError, TypeError, BadZipFile, ZlibError)
"""What numpy raises on a file that is not, or no longer, an .npz file."""

Reads = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Network:
    """A chain of layers y = clip(sum of weight times neuron read + bias, 0, ceiling).

    weight:  of every connection, where `weights` says nothing else.
    reads:   layer number -> [neurons, 32] integers, ascending: row i holds the neurons that neuron i reads.
    weights: layer number -> [neurons, 32] float32, of each neuron read; None = all are `weight`.
    """

    neurons: int
    layers: int
    weight: float
    bias: float
    ceiling: float
    reads: Callable[[int], Reads]
    weights: Callable[[int], NDArray[np.float32]] | None = None


def generate(neurons: int, layers: int, seed: int) -> Network:
    """The synthetic network: `neurons` is one of BIAS's keys; its first block is the official network's."""
    return Network(
        neurons, layers, WEIGHT, BIAS[neurons], CEILING, lambda layer: _generated_reads(neurons, layer, seed)
    )


def control(neurons: int, layers: int, seed: int) -> Network:
    """A network of the same size without structure: every neuron reads one neuron of each 32nd of the layer before.

    The random weights lie between 0 and 1/8, so that their mean is the official one.
    """
    return Network(
        neurons,
        layers,
        WEIGHT,
        BIAS[neurons],
        CEILING,
        lambda layer: _random(neurons, seed, layer, 0) % (neurons // FAN_IN) + np.arange(FAN_IN) * (neurons // FAN_IN),
        lambda layer: ((_random(neurons, seed, layer, 1) % 4096 + 1) * (2 * WEIGHT / 4096)).astype(np.float32),
    )


def load_official(path: Path, neurons: int, layers: int) -> Network:
    """The first `layers` layers of an official network: `in_neurons` [L, neurons, 32], `value`, `bias`, `ymax`.

    Raises:
        DataError: the file is missing, damaged, or has fewer layers or other shapes.
    """
    fields = load_arrays(path, ("in_neurons", "value", "bias", "ymax"))
    reads = fields["in_neurons"]
    if reads.ndim != 3 or reads.shape[1:] != (neurons, FAN_IN) or reads.dtype.kind not in "iu":
        raise DataError(f"{path}: expected in_neurons [layers, {neurons}, {FAN_IN}], got {reads.dtype} {reads.shape}")
    if len(reads) < layers:
        raise DataError(f"{path}: expected at least {layers} layers, got {len(reads)}")
    if reads.size and not 0 <= reads.min() <= reads.max() < neurons:
        raise DataError(f"{path}: expected neurons from 0 to {neurons - 1}, got {reads.min()} to {reads.max()}")
    weight, bias, ceiling = (float(fields[name]) for name in ("value", "bias", "ymax"))
    return Network(neurons, layers, weight, bias, ceiling, lambda layer: np.sort(reads[layer], axis=1))


def load_arrays(path: Path, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Those arrays of an .npz file; never unpickles.

    Raises:
        DataError: the file is missing, damaged, or lacks one of them.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names}
    except FileNotFoundError:
        raise DataError(f"{path}: expected an .npz file with {', '.join(names)}, got no such file") from None
    except _DAMAGED as error:
        raise DataError(f"{path}: expected an .npz file with {', '.join(names)}, got {error}") from error


def _generated_reads(neurons: int, layer: int, seed: int) -> Reads:
    block, position = divmod(layer, (neurons // COPIES).bit_length() - 1)
    reads = _first_block_reads(neurons, 2**position)
    return reads if block == 0 else np.sort(_permutation(neurons, seed, block)[reads], axis=1)


def _first_block_reads(neurons: int, shift: int) -> Reads:
    """[neurons, 32] int64, ascending: row i reads every j with j mod n in {i, i + shift} mod n."""
    size = neurons // COPIES
    own = np.arange(neurons) % size
    pair = np.sort(np.stack([own, (own + shift) % size], axis=1), axis=1)
    return (np.arange(COPIES)[:, None] * size + pair[:, None, :]).reshape(neurons, FAN_IN)


def _random(neurons: int, seed: int, layer: int, use: int) -> NDArray[np.int64]:
    """[neurons, 32] raw bits, which no numpy release changes, as numbers >= 0."""
    bits = np.random.PCG64(np.random.SeedSequence([seed, layer, use])).random_raw(neurons * FAN_IN)
    return (np.asarray(bits) >> np.uint64(1)).astype(np.int64).reshape(neurons, FAN_IN)


def _permutation(neurons: int, seed: int, block: int) -> NDArray[np.int64]:
    """A permutation that no numpy release changes: numpy promises stable raw bits, not a stable shuffle."""
    bits = np.random.PCG64(np.random.SeedSequence([seed, block])).random_raw(neurons)
    return np.argsort(np.asarray(bits), kind="stable")
