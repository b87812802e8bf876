"""The two kinds of value that move between ranks: a numpy array, and a LiveTensor.

A LiveTensor is the activation of a sparse layer. It is kept feature-major, because a sparse kernel gathers whole
feature rows, and it leaves out the samples whose features are all zero: under a zero-preserving tail they stay zero,
so dropping them is lossless (bias <= 0 before a clip at 0, or relu).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class LiveTensor:
    """A [total, features] activation without its all-zero samples.

    values:  [features, live], C-contiguous, or a read-only view that repeats one value; column j belongs to sample
             samples[j].
    samples: [live] int32, strictly ascending, each in [0, total).
    total:   number of samples, live or not.
    """

    values: NDArray[np.generic]
    samples: NDArray[np.int32]
    total: int

    @property
    def nbytes(self) -> int:
        """Bytes held: values and sample numbers."""
        return self.values.nbytes + self.samples.nbytes


Tensor = NDArray[np.generic] | LiveTensor
