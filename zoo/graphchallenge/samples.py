"""Inputs for a Graph Challenge network: binary images of handwritten digits, one pixel a neuron.

The official ones are MNIST, enlarged and made black and white. Without them, the zoo's own 8x8 digits are enlarged,
moved about, and inked with as many pixels as the official images have; both are 32x32, and enlarged for larger
networks.
"""

from __future__ import annotations

from importlib.resources import files
from math import isqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zoo.errors import DataError
from zoo.graphchallenge.network import load_arrays

SIDE = 32
GLYPH = 24
INK_MEDIAN, INK_SIGMA, INK_MAX = 102, 0.4, 326
"""Lit pixels of the official 32x32 images: median, spread (of the logarithm), maximum; measured on the first 10,000."""

Images = NDArray[np.bool_]


def generated(neurons: int, count: int, seed: int) -> NDArray[np.float32]:
    """[count, neurons] float32 of zeros and ones; the first k of a larger count are the same."""
    random = np.random.default_rng([seed, SIDE]).random((count, 4))
    images = np.zeros((count, SIDE, SIDE), bool)
    glyphs, margin = _glyphs(), SIDE - GLYPH + 1
    for i, (down, right, *ink) in enumerate(random):
        top, left = int(down * margin), int(right * margin)
        images[i, top : top + GLYPH, left : left + GLYPH] = _ink(glyphs[i % len(glyphs)], *ink)
    return enlarge(images, neurons)


def load_official(path: Path, neurons: int, count: int) -> NDArray[np.float32]:
    """The first `count` official inputs, [count, neurons] float32: `packed` bits and the `shape` they had.

    Raises:
        DataError: the file is missing, damaged, or has other shapes.
    """
    fields = load_arrays(path, ("packed", "shape"))
    shape, packed = tuple(int(n) for n in fields["shape"].ravel()), fields["packed"]
    if len(shape) != 2 or shape[1] != neurons or packed.shape != (shape[0], neurons // 8) or packed.dtype != np.uint8:
        raise DataError(f"{path}: expected packed bits of [samples, {neurons}], got {packed.shape} for {shape}")
    if shape[0] < count:
        raise DataError(f"{path}: expected at least {count} samples, got {shape[0]}")
    return np.unpackbits(packed[:count], axis=1).astype(np.float32)


def load_categories(path: Path, count: int) -> NDArray[np.bool_]:
    """[count] bool: whether a sample is non-zero at the end, by a file of 1-based sample numbers, one a line.

    Raises:
        DataError: the file is missing or not that.
    """
    try:
        numbers = np.array(path.read_text().split(), np.int64)
    except (OSError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: expected a sample number per line, got {error}") from error
    if numbers.size and numbers.min() < 1:
        raise DataError(f"{path}: expected sample numbers from 1, got {numbers.min()}")
    alive = np.zeros(count, bool)
    alive[numbers[numbers <= count] - 1] = True
    return alive


def enlarge(images: Images, neurons: int) -> NDArray[np.float32]:
    """images: [count, 32, 32] -> [count, neurons], each pixel repeated to a square."""
    factor = isqrt(neurons) // SIDE
    return images.repeat(factor, axis=1).repeat(factor, axis=2).reshape(len(images), neurons).astype(np.float32)


def _glyphs() -> NDArray[np.float64]:
    """[599, 24, 24]: the held-out digits, enlarged without steps, and on their side as the official ones are."""
    with (files("zoo") / "data" / "digits-heldout.npz").open("rb") as file, np.load(file) as data:
        small = data["images"].reshape(-1, 8, 8).astype(np.float64)
    grid = np.linspace(0, 7, GLYPH)
    blend = np.stack([np.interp(grid, np.arange(8), unit) for unit in np.eye(8)], axis=1)
    return np.ascontiguousarray((blend @ small @ blend.T).transpose(0, 2, 1))


def _ink(glyph: NDArray[np.float64], u: float, v: float) -> Images:
    """The darkest pixels of a glyph; how many is log-normal (Box-Muller, of two uniform numbers)."""
    normal = np.sqrt(-2 * np.log1p(-u)) * np.cos(2 * np.pi * v)
    wanted = min(INK_MAX, round(INK_MEDIAN * np.exp(INK_SIGMA * normal)))
    darkest = np.argsort(-glyph, axis=None, kind="stable")[:wanted]
    image = np.zeros(glyph.size, bool)
    image[darkest] = glyph.ravel()[darkest] > 0
    return image.reshape(glyph.shape)
