"""Each fault of a channel does what it says, and the channel's own safeguards bear it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from channels import ChannelTimeout, MemoryHub, Tag
from channels.tensors import Tensor
from chaos.desk import Desk
from chaos.faults import Fault
from tests.chaos.ends import Killed, faulty_end, plain_end

TENSORS = [np.full((2, 3), float(step), np.float32) for step in range(4)]


def exchange(folder: Path, *faults: Fault, wanted: Sequence[int] = range(4)) -> list[Tensor]:
    """Send TENSORS from slot 1 to slot 0 among faults; those of the wanted steps as received."""
    hub = MemoryHub(3)
    sender, receiver = faulty_end(folder, hub, 1, *faults), plain_end(hub, 0)
    for step, tensor in enumerate(TENSORS):
        sender.send(0, Tag(step), tensor)
    sender.close()
    return [receiver.recv(1, Tag(step)) for step in wanted]


@pytest.mark.parametrize("kind", ["duplicate", "delay", "reorder", "late"])
@pytest.mark.parametrize("at", [0, 3])
def test_what_is_no_loss_changes_nothing(tmp_path: Path, kind: str, at: int) -> None:
    received = exchange(tmp_path, Fault(kind, 1, 1, at))
    assert all(isinstance(got, np.ndarray) for got in received)
    assert np.array_equal(np.stack(TENSORS), np.stack([np.asarray(got) for got in received]))
    assert [note["kind"] for note in Desk(tmp_path).notes()] == [kind]


@pytest.mark.parametrize("kind", ["drop", "truncate", "corrupt"])
def test_a_lost_frame_is_never_taken_for_another(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ChannelTimeout):
        exchange(tmp_path, Fault(kind, 1, 1, 1), wanted=[0, 1])
    received = exchange(tmp_path, Fault(kind, 1, 1, 1), wanted=[0, 2, 3])
    assert [float(tensor[0, 0]) for tensor in received if isinstance(tensor, np.ndarray)] == [0.0, 2.0, 3.0]


def test_a_duplicate_is_counted_by_its_receiver(tmp_path: Path) -> None:
    hub = MemoryHub(3)
    sender, receiver = faulty_end(tmp_path, hub, 1, Fault("duplicate", 1, 1, 0)), plain_end(hub, 0)
    sender.send(0, Tag(0), TENSORS[0])
    sender.send(0, Tag(1), TENSORS[1])
    receiver.recv(1, Tag(0))
    receiver.recv(1, Tag(1))
    assert receiver.stats.duplicates == 1


@pytest.mark.parametrize(("kind", "error"), [("kill", Killed), ("memory", MemoryError)])
def test_a_process_ends_at_the_step_of_the_plan(tmp_path: Path, kind: str, error: type[BaseException]) -> None:
    end = faulty_end(tmp_path, MemoryHub(3), 1, Fault(kind, 1, 1, 2))
    end.send(0, Tag(0), TENSORS[0])
    end.send(0, Tag(1), TENSORS[1])
    with pytest.raises(error):
        end.send(0, Tag(2), TENSORS[2])


def test_memory_can_be_had_again_after_the_pressure(tmp_path: Path) -> None:
    end = faulty_end(tmp_path, MemoryHub(3), 1, Fault("memory", 1, 1, 0))
    with pytest.raises(MemoryError):
        end.send(0, Tag(0), TENSORS[0])
    assert np.zeros(300 << 20, np.uint8).size == 300 << 20


def test_a_frozen_process_goes_on_by_itself() -> None:
    code = "from chaos import injector; injector.FREEZE_S = 1; injector.freeze_process(); print('awake')"
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "awake\n"
    assert time.monotonic() - started >= 1


@pytest.mark.parametrize(("attempt", "slot"), [(2, 1), (1, 0)])
def test_a_fault_of_another_attempt_or_slot_does_not_strike(tmp_path: Path, attempt: int, slot: int) -> None:
    received = exchange(tmp_path, Fault("drop", attempt, slot, 0))
    assert len(received) == len(TENSORS)
    assert Desk(tmp_path).notes() == []
