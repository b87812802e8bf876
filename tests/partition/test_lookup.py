"""Embedding tables divided by rows: each rank looks up what it has, and the results add up."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from client.verify import reference, run_split, verify
from tests.partition.models import Array, floats, model


def embedded(table: Array, kind: int) -> onnx.ModelProto:
    """x [b, s] places -> rows [b, s, features], and a product of them."""
    nodes = [helper.make_node("Gather", ["t", "x"], ["rows"]), helper.make_node("MatMul", ["rows", "w"], ["y"])]
    proto = model(nodes, {"x": ["b", "s"]}, ["y", "rows"], {"t": table, "w": floats(6, 4)})
    proto.graph.input[0].type.tensor_type.elem_type = kind
    return proto


@pytest.mark.parametrize("workers", [2, 3, 4])
@pytest.mark.parametrize(("kind", "dtype"), [(TensorProto.INT64, np.int64), (TensorProto.INT32, np.int32)])
def test_rows_are_found_wherever_they_are(kind: int, dtype: type, workers: int) -> None:
    proto = embedded(floats(11, 6), kind)
    inputs: dict[str, Array] = {"x": np.array([[0, 10, -1, 5], [-11, 3, 7, 7]], dtype)}
    got, want = run_split(proto, inputs, workers, "column"), reference(proto, inputs)
    np.testing.assert_array_equal(got["rows"], want["rows"])
    np.testing.assert_allclose(got["y"], want["y"], rtol=1e-4, atol=1e-5)


def test_rows_that_are_not_asked_for_do_not_show() -> None:
    table = floats(9, 6)
    table[[0, 3, 6]] = np.nan  # what a rank would look up for a place that is not its own
    inputs = {"x": np.array([[1, 4, 8]])}
    assert np.isfinite(run_split(embedded(table, TensorProto.INT64), inputs, 3, "column")["rows"]).all()


def test_each_rank_holds_its_rows_of_the_table() -> None:
    report = verify(embedded(floats(300, 6), TensorProto.INT64), {"x": np.array([[1, 299]])}, 3, "column")
    assert report.ok, report.problems
    assert max(rank.weight_bytes for rank in report.ranks) <= 1.02 * report.model_weight_bytes / 3
