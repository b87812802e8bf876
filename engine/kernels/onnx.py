"""Kernel "onnx": one ONNX sub-graph, run by onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.kernels.registry import KernelCall, kernel


@kernel("onnx")
def run_onnx(call: KernelCall) -> Sequence[Any]:
    """Run the sub-graph `graph`; inputs and outputs are matched to its own by position, not by name.

    inputs:  dense, one for each input of the sub-graph.
    weights: names of its initializers, which are its external data "shard"; of equal names in the shard.
    outputs: one for each output of the sub-graph.
    """
    session = call.loaded.session(call.run.graph)
    return session.run([call.dense(i) for i in range(len(call.inputs))], call.where)
