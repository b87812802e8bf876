"""All ranks of a compiled model, each in a process of its own, so that each one's real memory can be told."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bundle.manifest import Manifest
from channels import REPORT, Channel, ChannelHooks, RunAborted, Tag
from client.errors import ClientError, UsageError
from client.rank_process import RankOutcome, RankTask, open_end, receive_values, send_values
from client.verify_run import Value, plain

_ROOT = Path(__file__).parents[1]
_END_S = 10.0


class RankFailed(ClientError):
    """A rank's process failed, or ended without a word."""


def run_processes(
    store: Path, manifest: Manifest, inputs: Mapping[str, Value], deadline_s: float = 600.0
) -> tuple[dict[str, Value], tuple[RankOutcome, ...]]:
    """Run every rank of a bundle in `store`: the outputs by name, and what each rank reports.

    Raises:
        RankFailed: naming the rank; all processes have ended then.
        UsageError: if an input is missing.
        ChannelError: if the deadline passes first.
    """
    missing = [spec.name for spec in manifest.inputs if spec.name not in inputs]
    if missing:
        raise UsageError(f"input {missing[0]!r} is missing: the model takes {[s.name for s in manifest.inputs]}")
    with tempfile.TemporaryDirectory(prefix="fsd-ranks-") as folder:
        key, run_id, ranks = secrets.token_bytes(32).hex(), secrets.token_hex(16), manifest.world_size
        task = RankTask(str(store.resolve()), manifest.bundle_id, folder, 0, ranks, run_id, key, deadline_s)
        with _started([replace(task, slot=rank) for rank in range(ranks)]) as processes:
            channel = open_end(task, ranks, hooks=ChannelHooks(check=lambda: _check(processes)))
            return _drive(channel, manifest, inputs)


def _drive(
    channel: Channel, manifest: Manifest, inputs: Mapping[str, Value]
) -> tuple[dict[str, Value], tuple[RankOutcome, ...]]:
    values = [plain(inputs[spec.name]) for spec in manifest.inputs]
    try:
        send_values(channel, 0, values, outputs=False)
        outputs = receive_values(channel, 0, outputs=True)
        reports: list[Any] = [channel.recv_json(rank, Tag(REPORT)) for rank in range(manifest.world_size)]
    except RunAborted as error:
        raise RankFailed(str(error)) from error
    return dict(zip((spec.name for spec in manifest.outputs), outputs, strict=True)), tuple(
        RankOutcome(**report) for report in reports
    )


@contextmanager
def _started(tasks: Sequence[RankTask]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A process per task; none is left afterwards."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for task in tasks:
            processes.append(_start(task))
        yield processes
        for process in processes:
            process.wait(timeout=_END_S)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _start(task: RankTask) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "client.rank_process"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=_ROOT)
    assert process.stdin is not None
    with process.stdin as stdin:
        stdin.write(json.dumps(asdict(task)).encode())
    return process


def _check(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Raises: RankFailed if a process was ended: one that ends by itself has reported first."""
    for rank, process in enumerate(processes):
        if process.poll():
            raise RankFailed(f"rank {rank}: its process ended with status {process.returncode}")
