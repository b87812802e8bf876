"""Ranks of which one hands on what all send, among faults, over queues and objects: all right, nothing left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray

from channels import Channel, Tag
from channels.object import ObjectChannel
from channels.publish import RELAYED_BODY
from channels.queue import QueueChannel
from chaos.faults import Fault
from client.verify import reference
from client.verify_compare import compare
from tests.chaos.lane_stage import LaneStage
from tests.partition import models

LIMITS: dict[str, Any] = {"deadline_s": 60.0, "wait_s": 60.0, "start_s": 10.0, "stall_s": 1.5, "max_attempts": 5}
WIDTH = 64
RANKS = {"queue": 12, "object": 8}  # fewer do not hand on


def faults_of(last: int) -> tuple[Fault, ...]:
    """Of workers, and of the last one, which hands on.

    A worker sends a hello, and to each of the others its rows of each boundary; `at` of a kill counts its calls.
    """
    return (
        Fault("duplicate", 1, 2, 3),
        Fault("delay", 1, last, 9),
        Fault("reorder", 1, 2, 3),
        Fault("reorder", 1, last, 9),
        Fault("corrupt", 1, last, 4),
        Fault("kill", 1, 3, 2),
        Fault("kill", 1, last, 3),
    )


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Sparse layers whose ranks all have something for each other, with inputs and truth."""
    proto = models.sparse_layers([models.sparse_matrix(WIDTH, WIDTH, 24, seed) for seed in range(3)])
    path = tmp_path_factory.mktemp("network") / "sparse.onnx"
    path.write_bytes(proto.SerializeToString())
    inputs = models.sparse_inputs(6, WIDTH)
    return path, inputs, dict(reference(proto, inputs))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("channel", ["queue", "object"])
def test_runs_whose_rows_are_handed_on_bear_every_fault(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    network: tuple[Path, dict[str, NDArray[Any]], dict[str, NDArray[Any]]],
    channel: str,
) -> None:
    path, inputs, expected = network
    handed_on: set[tuple[type[Channel], int]] = set()
    for kind in (ObjectChannel, QueueChannel):
        monkeypatch.setattr(kind, "hand_on", _noting(kind.hand_on, handed_on))
    stage = LaneStage(tmp_path)
    last = RANKS[channel] - 1
    stage.register(path, "row", "row", last + 1)
    planned = faults_of(last)
    for faults in [*((fault,) for fault in planned), ()]:  # the last one drops what those before have left
        answer = stage.infer("row", inputs, faults, channel=channel, **LIMITS)
        assert answer["status"] == "done", (faults, answer)
        assert compare(expected, answer["outputs"]).problems == (), faults
    assert stage.left_behind() == []
    injected = Counter(note["kind"] for note in stage.desk.notes() if note["what"] == "fault")
    assert injected == Counter(fault.kind for fault in planned)
    assert handed_on == {(QueueChannel if channel == "queue" else ObjectChannel, last)}
    assert (RELAYED_BODY in stage.queues.bodies) == (channel == "queue")
    assert stage.messages_left() == 0


def _noting(hand_on: Callable[[Any, Tag], None], handed_on: set[tuple[type[Channel], int]]) -> Any:
    def noted(end: Channel, tag: Tag) -> None:
        handed_on.add((type(end), end.config.slot))
        hand_on(end, tag)

    return noted
