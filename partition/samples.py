"""Whether a graph can be computed on some of its samples: then groups of ranks, or turns of a pipeline, share them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from partition.choices import Choice
from partition.graph import MEASURED_SLICES, Graph, Op
from partition.placement import Shard
from partition.policy import allowed_choices, batch_inputs

SOME_SAMPLES = "samples of a part"


def sample_axes(graph: Graph, parts: int) -> Mapping[str, int] | None:
    """The axis of each value that counts samples, where all ops and all outputs follow it; None where they do not.

    Ops of constants alone may be computed by everybody.
    """
    axes = batch_inputs(graph)
    if graph.opsets.get("", MEASURED_SLICES) < MEASURED_SLICES:
        return None
    for op, choices in zip(graph.ops, allowed_choices(graph, "batch", max(2, parts)), strict=True):
        if set(op.reads) <= graph.constant_names and not op.random:
            continue
        followed = [choice for choice in choices if _follows(graph, op, choice, axes)]
        if not followed:
            return None
        axes.update(_made(op, followed[-1]))
    return axes if axes and all(name in axes for name in graph.outputs) else None


def _follows(graph: Graph, op: Op, choice: Choice, axes: Mapping[str, int]) -> bool:
    """Whether the op is divided by samples alone, and means the same on a part of them."""
    divided = [n for n, p in zip(op.inputs, choice.inputs, strict=True) if isinstance(p, Shard)]
    plain = all(p.blocks == 1 for p in (*choice.inputs, *choice.outputs) if isinstance(p, Shard))
    made = len(_made(op, choice)) == sum(1 for name in op.outputs if name)
    return (
        bool(divided)
        and plain
        and made
        and all(name in axes for name in divided)
        and not choice.units
        and _is_open(graph, op, choice)
    )


def _made(op: Op, choice: Choice) -> dict[str, int]:
    pairs = zip(op.outputs, choice.outputs, strict=True)
    return {name: p.axis for name, p in pairs if name and isinstance(p, Shard)}


def _is_open(graph: Graph, op: Op, choice: Choice) -> bool:
    """Whether a target shape leaves the number of samples open."""
    target = graph.weights.get(op.inputs[1]) if op.proto.op_type in ("Expand", "Reshape") else None
    if target is None:
        return op.proto.op_type not in ("Expand", "Reshape")
    sizes = [int(size) for size in target.numpy().reshape(-1)]
    place = choice.outputs[0]
    return not isinstance(place, Shard) or (len(sizes) > place.axis and sizes[place.axis] in (-1, 0))


def on_some_samples(graph: Graph, axes: Mapping[str, int]) -> Graph:
    """The graph as a part of the samples sees it: nobody knows how many there are."""
    values = dict(graph.values)
    for name, axis in axes.items():
        shape = values[name].shape
        if shape is not None and axis < len(shape):
            opened = (*shape[:axis], SOME_SAMPLES, *shape[axis + 1 :])
            values[name] = replace(values[name], shape=opened)
    return replace(graph, values=values)
