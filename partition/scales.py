"""Resize to sizes -> Resize by scales, which mean the same on a part of the samples, however many the request has.

onnxruntime divides the sizes itself, in float32, and takes the whole part of size x scale: so it gives the same, where
that product comes out right.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from partition.constants import add_constant
from partition.rules.groups import Size
from partition.targets import computed_sizes, sizes_of

_SCALES, _SIZES = 2, 3  # positions


class ScaleByFactorsPass(ir.passes.InPlacePass):
    """Rewrite each Resize whose sizes are known, or those of its input."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Visit the main graph."""
        nodes = [node for node in model.graph if node.op_type == "Resize" and node.domain in ("", "ai.onnx")]
        changed = [node for node in nodes if len(node.inputs) > _SIZES and _rewrite(model.graph, node)]
        return ir.passes.PassResult(model, modified=bool(changed))


def _rewrite(graph: ir.Graph, node: ir.Node) -> bool:
    source, target = node.inputs[0], computed_sizes(node.inputs[_SIZES])
    policy = node.attributes.get_string("keep_aspect_ratio_policy", "stretch")
    before = sizes_of(source) if source is not None else None
    if before is None or target is None or policy != "stretch":
        return False
    named = node.attributes.get_ints("axes", range(len(before)))
    scales = factors([before[axis] for axis in named], target) if len(named) == len(target) else None
    if scales is None:
        return False
    tensor = ir.tensor(np.array(scales, np.float32), name=f"{node.outputs[0].name}__scales")
    node.replace_input_with(_SCALES, add_constant(graph, tensor))
    node.resize_inputs(_SIZES)
    return True


def factors(before: Sequence[Size], after: Sequence[Size]) -> list[np.float32] | None:
    """Scale of each axis; None if one is not known, or would not give the size."""
    found = [_factor(source, target) for source, target in zip(before, after, strict=True)]
    known = [scale for scale in found if scale is not None]
    return known if len(known) == len(found) else None


def _factor(source: Size, target: Size) -> np.float32 | None:
    if source == target:
        return np.float32(1)
    if not isinstance(source, int) or not isinstance(target, int) or not source:
        return None
    scale = np.float32(target) / np.float32(source)
    return scale if int(scale * np.float32(source)) == target else None
