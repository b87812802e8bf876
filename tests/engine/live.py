"""Live tensors for tests, made from dense arrays by the plainest possible code."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channels.tensors import LiveTensor, Tensor


def live(dense: NDArray[Any]) -> LiveTensor:
    """[samples, features] -> LiveTensor without all-zero samples."""
    samples = [i for i, row in enumerate(dense) if any(value != 0 for value in row)]
    values = np.ascontiguousarray(dense[samples].T.reshape(dense.shape[1], len(samples)))
    return LiveTensor(values, np.array(samples, np.int32), len(dense))


def dense_of(tensor: Tensor | None) -> NDArray[Any]:
    """[samples, features] of either kind of tensor; checks the rules of a LiveTensor."""
    assert tensor is not None
    if not isinstance(tensor, LiveTensor):
        return tensor
    assert tensor.samples.dtype == np.int32
    assert tensor.values.flags.c_contiguous
    assert sorted(set(tensor.samples.tolist())) == tensor.samples.tolist()
    dense = np.zeros((tensor.total, tensor.values.shape[0]), tensor.values.dtype)
    for column, sample in enumerate(tensor.samples):
        dense[sample] = tensor.values[:, column]
    return dense


def random_sparse_activation(rng: np.random.Generator, samples: int, features: int) -> NDArray[np.float32]:
    """About half of the samples are all zero, and half of the values of the others."""
    values = rng.random((samples, features), np.float32) * (rng.random((samples, features)) < 0.5)
    return (values * (rng.random((samples, 1)) < 0.5)).astype(np.float32)
