"""Inputs for a model that nobody gave any for: seeded, by its signature."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bundle.dtypes import STRING, numpy_dtype
from bundle.manifest import TensorSpec

SYMBOLIC_SIZE = 5  # uneven for 2 and 3 ranks


def random_inputs(specs: Iterable[TensorSpec], seed: int = 0) -> dict[str, NDArray[Any]]:
    """One array per input: floats normal, integers 0 or 1 (safe as indices), strings of one letter.

    A size that the request chooses is SYMBOLIC_SIZE.
    """
    rng = np.random.default_rng(seed)
    return {spec.name: _random(spec, rng) for spec in specs}


def _random(spec: TensorSpec, rng: np.random.Generator) -> NDArray[Any]:
    shape = tuple(dim if isinstance(dim, int) else SYMBOLIC_SIZE for dim in spec.shape)
    if spec.dtype == STRING:
        return np.asarray(rng.choice(["a", "b"], shape), dtype=object)
    dtype = numpy_dtype(spec.dtype)
    if dtype.kind in "biu":
        return rng.integers(0, 2, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)
