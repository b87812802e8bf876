"""onnxruntime sessions over sub-graphs whose weights are in memory: no temporary file, no lasting second copy."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from engine.cores import usable_cores
from engine.errors import KernelError, ProgramError
from engine.onnx_types import to_numpy, to_ort
from engine.session_settings import SessionSettings

SHARD_LOCATION = "shard"  # what the external data of a sub-graph's initializers is called
_LOG_ERROR = 3
# onnxruntime has no class of its own for it: its arena's words, and the allocator's.
_NO_MEMORY = re.compile(r"failed to allocate memory|bad_alloc|out of memory", re.IGNORECASE)


class Session:
    """One sub-graph, ready to run.

    A rank may have no samples, where a batch is smaller than the number of ranks. The blocked layouts to which
    onnxruntime 1.31 turns convolutions do not stand that: no samples go through a second session, without them.
    """

    def __init__(
        self, session: ort.InferenceSession, build_unblocked: Callable[[], ort.InferenceSession] | None = None
    ) -> None:
        """build_unblocked: makes the second session; None = there is none. It refers to the memory of the weights."""
        self._session = session
        self._build_unblocked = build_unblocked
        self._inputs = [item.name for item in session.get_inputs()]
        self._outputs = [item.name for item in session.get_outputs()]
        types = [item.type for item in (*session.get_inputs(), *session.get_outputs())]
        self._exotic = any(name in kind for kind in types for name in ("bfloat16", "float8", "int4", "float4", "int2"))

    def run(self, inputs: Sequence[NDArray[np.generic]], where: str) -> list[Any]:
        """Outputs for inputs, both by position.

        where: for messages.

        Raises:
            KernelError: if onnxruntime refuses, or the number of inputs is wrong.
            MemoryError: if it does not get the memory that it needs.
        """
        if len(inputs) != len(self._inputs):
            raise KernelError(f"{where}: expected {len(self._inputs)} inputs, got {len(inputs)}")
        feeds = dict(zip(self._inputs, inputs, strict=True))
        session = self._unblocked if any(map(_has_no_samples, inputs)) else self._session
        try:
            return self._run_ort_values(session, feeds) if self._exotic else list(session.run(self._outputs, feeds))
        except MemoryError:
            raise
        except Exception as error:  # onnxruntime's errors share no other base class
            if _NO_MEMORY.search(str(error)):
                raise MemoryError(f"{where}: onnxruntime: {_one_line(error)}") from error
            raise KernelError(f"{where}: onnxruntime: {_one_line(error)}") from error

    @cached_property
    def _unblocked(self) -> ort.InferenceSession:
        return self._build_unblocked() if self._build_unblocked else self._session

    def _run_ort_values(self, session: ort.InferenceSession, feeds: Mapping[str, NDArray[np.generic]]) -> list[Any]:
        """The way for types that numpy itself lacks."""
        values = {name: to_ort(array) for name, array in feeds.items()}
        return [to_numpy(value) for value in session.run_with_ort_values(self._outputs, values)]


def _has_no_samples(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.shape[:1] == (0,)


def build_session(
    graph: bytes | memoryview,
    weights: Mapping[str, NDArray[np.generic]],
    shard: memoryview,
    settings: SessionSettings | None = None,
) -> Session:
    """A session over a sub-graph whose initializers are external data in "shard".

    weights: the initializers by name, views of the shard; empty to let onnxruntime cut them out of `shard` itself,
             by the offsets in the sub-graph, which copies them.

    Raises:
        ProgramError: if onnxruntime refuses the sub-graph.
        MemoryError: if it does not get the memory that it needs.
    """
    values = {name: to_ort(array) for name, array in weights.items()}
    model = bytes(graph)

    def build(blocked: bool) -> ort.InferenceSession:
        options = _options(settings or SessionSettings(), blocked)
        _add_weights(options, values, shard)
        try:
            return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors share no other base class
            if _NO_MEMORY.search(str(error)):
                raise MemoryError(f"sub-graph: onnxruntime: {_one_line(error)}") from error
            raise ProgramError(f"sub-graph: onnxruntime: {_one_line(error)}") from error

    return Session(build(True), partial(build, False))


def _add_weights(options: ort.SessionOptions, values: Mapping[str, ort.OrtValue], shard: memoryview) -> None:
    if values:
        # The first call makes onnxruntime accept the model and keeps a copy, which the second call makes it drop.
        options.add_external_initializers(list(values), list(values.values()))
        for name, value in values.items():
            options.add_initializer(name, value)
    elif len(shard):
        options.add_external_initializers_from_files_in_memory([SHARD_LOCATION], [shard], [len(shard)])


def _options(settings: SessionSettings, blocked: bool) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = _LOG_ERROR
    options.intra_op_num_threads = settings.threads or usable_cores()
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.add_session_config_entry("session.disable_prepacking", "0" if settings.prepack and blocked else "1")
    # Idle threads must not spin: the other half of a core is waiting for frames.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not blocked:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    if not settings.optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:500]
