"""What is fuzzed: each target takes bytes from anybody and ends well or in its package's own errors, whatever they are.

A target is a function of a mutant; anything but its own errors passes through, and is a bug.
"""

from __future__ import annotations

import base64
import contextlib
import json
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bundle.errors import BundleError
from bundle.manifest import Manifest
from bundle.registry import read_record
from bundle.store import FolderStore
from channels import ChannelConfig, MemoryChannel, MemoryHub, Tag
from channels.errors import ChannelError
from channels.frame import MAC_BYTES
from channels.parcel import frames_in, pack_parcel
from channels.tags import ABORT
from channels.tensors import LiveTensor, Tensor
from channels.transport import Incoming, Key, Outgoing
from engine.codec import program_from_json, program_to_json
from engine.errors import EngineError
from engine.program import Exchange, Free, Program, Run
from partition import compile_to_store
from partition.errors import CompileError
from runs.errors import RunError
from runs.faults import parse_failure, parse_fault
from runs.request import decode_inputs, parse_request
from runs.start import StartMessage
from runs.values import dump_npz
from tests.bundle.samples import make_sample
from tests.fuzz import models
from tests.fuzz.mutate import mutant

KEY = b"k" * 32
RUN_ID = "ab" * 16
# Small, so that a frame that makes the codec take what it declares shows in the memory of the process.
MESSAGE_BYTES = 1 << 20
SMALL = np.arange(12, dtype=np.float32).reshape(3, 4)


@dataclass(frozen=True)
class Target:
    """Something that takes bytes from outside.

    seeds: well-formed inputs.
    check: what a mutant must pass through without anything but the target's own errors.
    mend:  makes a mutant look whole again where something guards it, or None.
    """

    seeds: Callable[[], Sequence[bytes]]
    check: Callable[[bytes], None]
    mend: Callable[[bytes], bytes] | None = None

    def mutant(self, dice: random.Random, seeds: Sequence[bytes]) -> bytes:
        """A mutant; every second one mended."""
        data = mutant(dice, seeds)
        return self.mend(data) if self.mend and dice.random() < 0.5 else data


def _end(hub: MemoryHub, slot: int) -> MemoryChannel:
    config = ChannelConfig(RUN_ID, 1, 1, slot, 3, KEY, time.monotonic() - 1, max_message_bytes=MESSAGE_BYTES)
    return MemoryChannel(config, hub)


def frame_seeds() -> list[bytes]:
    """A frame of every kind of message, of one chunk and of several."""
    hub = MemoryHub(3, max_payload=256)
    sender = _end(hub, 1)
    live = LiveTensor(np.arange(10, dtype=np.float32).reshape(2, 5), np.array([0, 3, 4, 7, 9], np.int64), 12)
    tensors: list[Tensor] = [
        SMALL,
        np.zeros((40, 30), np.float32),
        live,
        np.array(["a", "bc"], object),
        SMALL.astype(np.int64),
    ]
    for step, tensor in enumerate(tensors):
        sender.send(0, Tag(step), tensor)
    sender.send(0, Tag(9), live)
    sender.send_json(0, Tag(-1), {"held": ["a"], "request_id": "x"})
    sender.send(0, Tag(10), np.random.default_rng(1).normal(size=(20, 20)).astype(np.float32))
    return [data for data in hub.get(0, 0.01) if isinstance(data, bytes)]


def sign(frame: bytes) -> bytes:
    """The same frame with the right MAC."""
    body = frame[:-MAC_BYTES]
    return body + blake2b(body, key=KEY, digest_size=MAC_BYTES).digest()


def check_frame(data: bytes) -> None:
    """A receiver takes it in, and whatever becomes complete by it is received."""
    end = _end(MemoryHub(3), 0)
    end._absorb([Incoming(data)])
    for source, tag in list(end._intake.inbox.ready):
        for receive in (end.recv, end.recv_json) if tag.step != ABORT else ():
            try:
                receive(source, tag)
            except ChannelError:
                continue


def parcel_seeds() -> list[bytes]:
    """Frames for two slots in one piece."""
    frames = frame_seeds()
    outgoing = [Outgoing(Key(1, index % 2, Tag(index)), frame) for index, frame in enumerate(frames)]
    return [pack_parcel(outgoing[:count]) for count in (1, 2, len(outgoing))]


def check_parcel(data: bytes) -> None:
    """Its frames for a slot, each of which is then taken in."""
    try:
        frames = [frame for slot, frame in frames_in(data) if slot == 0]
    except ChannelError:
        return
    for frame in frames:
        check_frame(frame)


def manifest_seeds() -> list[bytes]:
    """A manifest, a program, and a model's record."""
    manifest = make_sample().manifest
    steps = (
        Run(0, "onnx", ("x",), ("y",), graph="g", weights=("w",), attributes={"a": 1.5, "b": (1, 2)}, layer="l"),
        Exchange(1, "rows", "y", "z", (0, 1), axis=1, reduce="sum", maps="m", rows=3),
        Free(2, ("x",)),
    )
    record = {"name": "m", "version": "v", "bundle_id": "b", "registered_at": 1, "former": ["a"]}
    return [manifest.to_json(), program_to_json(Program(0, 2, steps)), json.dumps(record).encode()]


def check_manifest(data: bytes) -> None:
    """Read as each of the documents that a bundle is made of."""
    for read in (Manifest.from_json, program_from_json, _read_record):
        with contextlib.suppress(BundleError, EngineError):
            read(data)


def _read_record(data: bytes) -> object:
    with tempfile.TemporaryDirectory(prefix="fsd-fuzz-") as folder:
        store = FolderStore(Path(folder))
        store.put("models/m.json", data)
        return read_record(store, "m")


def request_seeds() -> list[bytes]:
    """Events of `infer`, and what a worker is told."""
    npz = base64.b64encode(dump_npz({"x": SMALL})).decode()
    start = {"run_id": RUN_ID, "attempt": 1, "lane": 0, "epoch": 1, "slot": 1, "slots": 2, "bundle_id": "b"}
    failure = {"requestContext": {"condition": "x"}, "requestPayload": start, "responsePayload": {"errorType": "E"}}
    events: list[object] = [
        {"model": "m", "inputs": {"x": [[0.0, 1.5, "NaN", 1]]}, "run_id": RUN_ID, "channel": "object"},
        {"model": "m", "inputs_npz": npz, "wait_s": 1.5, "deadline_s": 60, "outputs": ["y"], "max_attempts": 2},
        {"model": "m", "inputs_uri": "s3://b/runs/x.npz", "encoding": "npz", "async": True},
        {**start, "channel": "queue", "prefer": "usd", "deadline": 1.5, "mac_key": "00" * 32},
        failure,
    ]
    return [json.dumps(event).encode() for event in events]


def check_request(data: bytes) -> None:
    """Read as an event of `infer`, with its inputs; as a start message; as a failure notice."""
    text = data.decode(errors="replace")
    parse_failure(text)
    parse_fault(text, 1)
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):  # Lambda's runtime reads the event
        return
    with contextlib.suppress(RunError):
        request = parse_request(event)
        decode_inputs(request, models.SIGNATURE, b"" if request.inputs_uri else None)
    if isinstance(event, dict):
        with contextlib.suppress(ValueError):
            StartMessage.from_json(event)


def npz_seeds() -> list[bytes]:
    """Archives of arrays."""
    arrays: list[NDArray[Any]] = [SMALL, SMALL.astype(np.int64), np.array(["a", "b"]), np.zeros((100, 4), np.float32)]
    return [dump_npz({"x": array}) for array in arrays]


def check_npz(data: bytes) -> None:
    """Read as the inputs of a request."""
    request = parse_request({"model": "m", "inputs_uri": "s3://b/x"})
    try:
        decode_inputs(request, models.SIGNATURE, data)
    except RunError:
        return


def check_onnx(data: bytes) -> None:
    """Compiled as `fsd register` would."""
    with tempfile.TemporaryDirectory(prefix="fsd-fuzz-") as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(data)
        try:
            compile_to_store(FolderStore(Path(folder) / "store"), path, "row", 2, name="m")
        except (CompileError, BundleError):
            return


TARGETS = {
    "frames": Target(frame_seeds, check_frame, sign),
    "manifests": Target(manifest_seeds, check_manifest),
    "npz": Target(npz_seeds, check_npz),
    "onnx": Target(models.seeds, check_onnx),
    "parcels": Target(parcel_seeds, check_parcel),
    "requests": Target(request_seeds, check_request),
}
