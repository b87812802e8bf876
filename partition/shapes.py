"""Shape inference that never makes a legal graph fail: what cannot be inferred stays unknown and is replicated."""

from __future__ import annotations

import logging

import onnx_ir as ir
from onnx_ir.passes import common


class InferShapesPass(ir.passes.InPlacePass):
    """onnx-ir's pass without strictness, quiet: an op of a foreign domain is no reason to stop."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Add types and shapes."""
        logger = logging.getLogger("onnx_ir.passes.common.shape_inference")
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            return common.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(model)
        finally:
            logger.setLevel(level)
