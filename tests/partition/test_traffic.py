"""What is predicted to be sent, held against what the ranks of a run did send."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import pytest

from bundle.store import FolderStore
from client.verify_run import run_ranks
from partition import Options
from partition.compile import Target, emit_bundle, lay_out, prepare
from partition.traffic import traffic
from tests.partition import models

DIVISIONS = (("batch", 3), ("row", 2), ("row", 4), ("column", 3), ("tensor", 4), ("pipeline", 3), ("batch=2,row=2", 4))


def measured_and_predicted(
    proto: onnx.ModelProto, strategy: str, workers: int, inputs: dict[str, models.Array], folder: Path
) -> tuple[int, int, bool]:
    """Bytes that ranks sent, bytes that they were to send, and whether that was said to be exact."""
    prepared = prepare(proto, Options())
    chosen, layout = lay_out(prepared, strategy, workers, Options())
    folder.mkdir()
    compiled = emit_bundle(prepared, layout, Target("test", chosen, workers), folder)
    store = FolderStore(folder / "store")
    compiled.write(store)
    run = run_ranks(store, compiled.manifest, inputs, deadline_s=30)
    sent = sum(record.sent_bytes for machine in run.machines for record in machine.trace)
    predicted = traffic(layout, {name: value.shape for name, value in inputs.items()}, {})
    return sent, sum(item.nbytes for item in predicted), all(item.exact for item in predicted)


@pytest.mark.parametrize(("strategy", "workers"), DIVISIONS)
@pytest.mark.parametrize("name", models.DENSE)
def test_bytes_are_predicted_exactly(name: str, strategy: str, workers: int, tmp_path: Path) -> None:
    proto = models.DENSE[name]()
    for batch in (1, 7):
        inputs = models.random_inputs(proto, batch)
        sent, predicted, exact = measured_and_predicted(proto, strategy, workers, inputs, tmp_path / str(batch))
        assert exact
        assert predicted == sent


@pytest.mark.parametrize("strategy", ["batch", "row", "column", "pipeline"])
def test_bytes_of_sparse_layers_are_predicted_from_above(strategy: str, tmp_path: Path) -> None:
    inputs = models.sparse_inputs(6)
    sent, predicted, exact = measured_and_predicted(models.sparse_chain(), strategy, 3, inputs, tmp_path / "run")
    assert sent <= predicted < 4 * sent
    assert not exact or strategy == "pipeline"


def test_messages_and_ranks_are_those_of_the_exchanges() -> None:
    prepared = prepare(models.digits_mlp(), Options())
    found = traffic(lay_out(prepared, "row", 3, Options())[1], {"x": (4, 64)}, {})
    assert Counter(item.kind for item in found) == {"broadcast": 1, "all_gather": 2, "gather": 1}
    assert [item.messages for item in found] == [2, 6, 6, 2]
    assert {item.ranks for item in found} == {(0, 1, 2)}


def test_sizes_may_be_given_by_symbol() -> None:
    prepared = prepare(models.digits_mlp(), Options())
    layout = lay_out(prepared, "row", 3, Options())[1]
    assert traffic(layout, {}, {"batch": 4}) == traffic(layout, {"x": (4, 64)}, {})
