"""What a computed vector of sizes consists of: numbers, and sizes of tensors; read off the ops that compute it.

Shape inference follows such vectors too, but loses a size that has no name; here `?name.axis` stands for one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir as ir

from partition.constants import constant_input
from partition.rules.groups import Size

NAMELESS = "?"
_MOST_SIZES = 64
_MOST_STEPS = 8  # from the Shape op to the vector; exporters need four or five
_KEPT = ("Cast", "Identity", "Squeeze", "Unsqueeze")


def sizes_of(value: ir.Value) -> list[Size] | None:
    """Sizes of a tensor's axes; None = unknown rank."""
    if value.shape is None:
        return None
    dims = [dim if isinstance(dim, int) else dim.value for dim in value.shape]
    return [f"{NAMELESS}{value.name}.{axis}" if dim is None else dim for axis, dim in enumerate(dims)]


def set_sizes(value: ir.Value, sizes: Sequence[Size]) -> None:
    """Tell a tensor its sizes, as far as they have names."""
    value.shape = ir.Shape([None if isinstance(s, str) and s.startswith(NAMELESS) else s for s in sizes])


def computed_sizes(value: ir.Value | None, steps: int = _MOST_STEPS) -> list[Size] | None:
    """The elements of a vector of sizes, or of a scalar; None where they cannot be followed."""
    if value is None or steps == 0:
        return None
    if value.is_initializer():
        tensor = value.const_value
        known = tensor is not None and tensor.size <= _MOST_SIZES and tensor.dtype == ir.DataType.INT64
        return [int(n) for n in tensor.numpy().reshape(-1)] if known and tensor is not None else None
    node = value.producer()
    if node is None or node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type == "Shape":
        sizes = sizes_of(node.inputs[0]) if node.inputs[0] is not None else None
        return None if sizes is None else sizes[node.attributes.get_int("start", 0) : _end(node)]
    step = _STEPS.get(node.op_type)
    parts = [computed_sizes(part, steps - 1) for part in (node.inputs if node.op_type == "Concat" else node.inputs[:1])]
    known_parts = [part for part in parts if part is not None]
    return step(node, known_parts) if step and len(known_parts) == len(parts) else None


def _end(node: ir.Node) -> int | None:
    end = node.attributes.get("end")
    return None if end is None else int(end.as_int())


def _picked(node: ir.Node, parts: Sequence[list[Size]]) -> list[Size] | None:
    """Gather at constant places."""
    places = constant_input(node, 1)
    at = [] if places is None else [int(i) for i in places.numpy().reshape(-1)]
    inside = places is not None and all(-len(parts[0]) <= i < len(parts[0]) for i in at)
    return [parts[0][i] for i in at] if inside else None


def _cut(node: ir.Node, parts: Sequence[list[Size]]) -> list[Size] | None:
    """Slice between constant bounds; as attributes in older opsets."""
    names = ("starts", "ends", "axes", "steps")
    given = [constant_input(node, i + 1) for i in range(4)]
    bounds = [None if t is None else [int(n) for n in t.numpy().reshape(-1)] for t in given]
    listed = [b or list(node.attributes.get_ints(name, ())) for b, name in zip(bounds, names, strict=True)]
    plain = len(listed[0]) == len(listed[1]) == 1 and listed[2] in ([], [0]) and listed[3] in ([], [1])
    return parts[0][listed[0][0] : listed[1][0]] if plain else None


def _joined(_: ir.Node, parts: Sequence[list[Size]]) -> list[Size]:
    return [size for part in parts for size in part]


_STEPS: dict[str, Callable[[ir.Node, Sequence[list[Size]]], list[Size] | None]] = {
    "Concat": _joined,
    "Gather": _picked,
    "Slice": _cut,
    **dict.fromkeys(_KEPT, _joined),
}
