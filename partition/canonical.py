"""One way to write shapes and axes, so that a node means the same on a piece of its input, an empty piece among them.

onnxruntime 1.31 takes negative axes of a reduction over an empty input for none at all, and refuses a Reshape to -1
where the other sizes are 0. So axes are counted from the front, and a target's sizes are copied (0) or computed. The
sizes of a Split into equal parts are left out, as a piece has parts of other sizes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

Dim = int | str | None
_COUNTED_SPLIT = 18  # the opset that brought num_outputs


class CanonicalShapesPass(ir.passes.InPlacePass):
    """Rewrite constant axes of reductions and constant targets of Reshape."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Visit the main graph; nodes of unknown rank stay as they are."""
        version = model.opset_imports.get("", 0)
        changed = [node for node in model.graph if _halve(node, version) or _rewrite(model.graph, node)]
        return ir.passes.PassResult(model, modified=bool(changed))


def _rewrite(graph: ir.Graph, node: ir.Node) -> bool:
    source = node.inputs[0] if node.inputs else None
    change = _changes(node)
    if change is None or source is None or source.shape is None or node.domain not in ("", "ai.onnx"):
        return False
    dims = [dim if isinstance(dim, int) else dim.value for dim in source.shape]
    if node.op_type.startswith("Arg"):
        node.attributes["axis"] = ir.AttrInt64("axis", change(dims, [node.attributes.get_int("axis", 0)])[0])
        return True
    if "axes" in node.attributes:
        node.attributes["axes"] = ir.AttrInt64s("axes", change(dims, node.attributes.get_ints("axes", ())))
        return True
    tensor = _constant(node, 1)
    if tensor is None:
        return False
    old = [int(i) for i in tensor.numpy().reshape(-1)]
    new = list(change(dims, old))
    if new != old:
        node.replace_input_with(1, _constant_value(graph, node, new, tensor.shape))
    return new != old


def _halve(node: ir.Node, version: int) -> bool:
    """Leave out the sizes of equal parts; since opset 18 their number is named instead."""
    if node.op_type != "Split" or node.domain not in ("", "ai.onnx"):
        return False
    given = _constant(node, 1)
    sizes = list(given.numpy()) if given is not None else list(node.attributes.get_ints("split", ()))
    if len(sizes) != len(node.outputs) or len(set(sizes)) != 1:
        return False
    node.attributes.pop("split", None)
    if given is not None:
        node.replace_input_with(1, None)
    if version >= _COUNTED_SPLIT:
        node.attributes["num_outputs"] = ir.AttrInt64("num_outputs", len(sizes))
    return True


def _changes(node: ir.Node) -> Callable[[Sequence[Dim], Sequence[int]], Sequence[int]] | None:
    if node.op_type.startswith(("Arg", "Reduce")):
        return front_axes
    plain = node.op_type == "Reshape" and not node.attributes.get_int("allowzero", 0)
    return copied_sizes if plain else None


def _constant(node: ir.Node, position: int) -> ir.TensorProtocol | None:
    value = node.inputs[position] if position < len(node.inputs) else None
    return value.const_value if value is not None and value.is_initializer() else None


def _constant_value(graph: ir.Graph, node: ir.Node, numbers: list[int], shape: ir.ShapeProtocol) -> ir.Value:
    name = f"{node.outputs[0].name}__{node.op_type.lower()}"
    tensor = ir.tensor(np.array(numbers, np.int64).reshape(tuple(shape.numpy())), name=name)
    value = ir.Value(
        name=name, shape=ir.Shape(tensor.shape.numpy()), type=ir.TensorType(tensor.dtype), const_value=tensor
    )
    graph.register_initializer(value)
    return value


def front_axes(dims: Sequence[Dim], axes: Sequence[int]) -> Sequence[int]:
    """Axes counted from the front."""
    return [axis + len(dims) if axis < 0 else axis for axis in axes]


def copied_sizes(dims: Sequence[Dim], target: Sequence[int]) -> Sequence[int]:
    """A Reshape's target with 0 for every leading size that is the input's own, and -1 computed where possible."""
    sizes = list(target)
    unknown = sizes.index(-1) if -1 in sizes else None
    for i in range(min(len(dims), len(sizes))):
        if sizes[i] != 0 and (sizes[i] != dims[i] or dims[i] == 0):
            break
        sizes[i] = 0
    if unknown is not None:
        sizes[unknown] = _inferred(dims, sizes, unknown)
    return sizes


def _inferred(dims: Sequence[Dim], sizes: Sequence[int], at: int) -> int:
    """What -1 stands for: 0 if it is the input's size there, a number if it is sure, else -1."""
    copied = {i for i, size in enumerate(sizes) if size == 0 and i < len(dims)}
    left = math.prod(size for size in sizes if size > 0)
    if (
        _known_product(dims, copied | {at}) == left
        and at < len(dims)
        and all(s >= 0 for i, s in enumerate(sizes) if i != at)
    ):
        return 0
    product = _known_product(dims, copied)
    return product // left if product and left and product % left == 0 else -1


def _known_product(dims: Sequence[Dim], without: set[int]) -> int | None:
    rest = [dim for i, dim in enumerate(dims) if i not in without]
    return math.prod(dim for dim in rest if isinstance(dim, int)) if all(isinstance(dim, int) for dim in rest) else None
