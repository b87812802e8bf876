"""One way to write axes, so that a node means the same on a piece of its input, an empty piece among them.

onnxruntime 1.31 takes negative axes of a reduction over an empty input for none at all, so axes are counted from the
front. The sizes of a Split into equal parts are left out, as a piece has parts of other sizes. See also
partition.reshapes.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from partition.constants import constant_input, set_constant

_COUNTED_SPLIT = 18  # the opset that brought num_outputs


class CanonicalShapesPass(ir.passes.InPlacePass):
    """Rewrite constant axes of reductions and the sizes of equal parts."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Visit the main graph; nodes of unknown rank stay as they are."""
        version = model.opset_imports.get("", 0)
        changed = [node for node in model.graph if _halve(node, version) or _rewrite(model.graph, node)]
        return ir.passes.PassResult(model, modified=bool(changed))


def _rewrite(graph: ir.Graph, node: ir.Node) -> bool:
    source = node.inputs[0] if node.inputs else None
    reduces = node.op_type.startswith(("Arg", "Reduce")) and node.domain in ("", "ai.onnx")
    if not reduces or source is None or source.shape is None:
        return False
    rank = len(source.shape)
    if node.op_type.startswith("Arg"):
        node.attributes["axis"] = ir.AttrInt64("axis", front_axes(rank, [node.attributes.get_int("axis", 0)])[0])
        return True
    if "axes" in node.attributes:
        node.attributes["axes"] = ir.AttrInt64s("axes", front_axes(rank, node.attributes.get_ints("axes", ())))
        return True
    tensor = constant_input(node, 1)
    return tensor is not None and set_constant(graph, node, 1, front_axes(rank, tensor.numpy().reshape(-1).tolist()))


def _halve(node: ir.Node, version: int) -> bool:
    """Leave out the sizes of equal parts; since opset 18 their number is named instead."""
    if node.op_type != "Split" or node.domain not in ("", "ai.onnx"):
        return False
    given = constant_input(node, 1)
    sizes = list(given.numpy()) if given is not None else list(node.attributes.get_ints("split", ()))
    if len(sizes) != len(node.outputs) or len(set(sizes)) != 1:
        return False
    node.attributes.pop("split", None)
    if given is not None:
        node.replace_input_with(1, None)
    if version >= _COUNTED_SPLIT:
        node.attributes["num_outputs"] = ir.AttrInt64("num_outputs", len(sizes))
    return True


def front_axes(rank: int, axes: Sequence[int]) -> list[int]:
    """Axes counted from the front."""
    return [axis + rank if axis < 0 else axis for axis in axes]
