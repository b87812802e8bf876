"""One bundle, as a service has it, asked with several numbers of samples: it is compiled once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import onnx

from bundle.manifest import Manifest
from bundle.store import FolderStore
from client.verify import reference
from client.verify_compare import Difference, compare
from client.verify_run import run_ranks
from partition import Options, compile_to_store

Inputs = Mapping[str, Any]


def asked(
    proto: onnx.ModelProto, requests: Iterable[Inputs], workers: int, strategy: str
) -> Iterator[tuple[Manifest, Difference]]:
    """The bundle, compiled for sizes like the first request's, and how each answer differs from onnxruntime's."""
    first, *others = requests
    options = Options(shapes={name: np.shape(value) for name, value in first.items()})
    with tempfile.TemporaryDirectory() as folder:
        store = FolderStore(folder)
        manifest = compile_to_store(store, proto, strategy, workers, options=options)
        for inputs in (first, *others):
            yield manifest, compare(reference(proto, inputs), run_ranks(store, manifest, inputs).outputs)
