"""A stage in this process: the service's own coordinator, workers and frames over S3, Lambda and queues in memory.

Functions are threads; a killed one is an exception that nothing catches, and Lambda's notice of it comes to slot 0.
"""

from __future__ import annotations

import base64
import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from numpy.typing import NDArray

from bundle.registry import register_model
from bundle.store import S3Store
from channels import Channel, MemoryChannel, MemoryHub
from channels.config import ChannelConfig, ChannelHooks
from chaos.channel import make_faulty
from chaos.defects import without_deduplication
from chaos.desk import Desk
from chaos.faults import Fault
from chaos.injector import Injector
from costs.meter import Meter
from engine.cache import ShardCache
from partition import compile_to_store
from runs import wiring
from runs.follower import follow
from runs.lease import held_lanes
from runs.objects import Objects
from runs.serve import serve
from runs.service import Invocation, Service
from runs.settings import Settings
from runs.start import StartMessage
from runs.values import dump_npz, load_npz
from tests.runs.fakes import Clock, FakeClients, FakeS3

SETTINGS = Settings("s", "bucket", 1, 4, "arn:topic", "http://queue", "infer", "worker", line_queue="http://line")
FREEZE_S = 3.0
KEPT = {"request.json", "input.npz", "output.npz", "record.json"}


class Killed(BaseException):
    """SIGKILL of a thread's function."""


def kill() -> None:
    raise Killed


class Now(Clock):
    """This machine's clock."""

    def __call__(self) -> float:
        return time.time()


class SharedS3(FakeS3):
    """One bucket for many threads."""

    def __init__(self) -> None:
        super().__init__(Now())
        self._lock = threading.RLock()

    def put_object(self, Key: str, Body: bytes, **condition: str) -> dict[str, Any]:
        with self._lock:
            return super().put_object(Key, Body, **condition)

    def paginate(self, Prefix: str, **_: object) -> list[dict[str, Any]]:
        with self._lock:
            return super().paginate(Prefix)


class MemoryStage:
    """One lane, by default of four slots."""

    def __init__(self, folder: Path, defect: str = "", settings: Settings = SETTINGS) -> None:
        self.desk = Desk(folder)
        self.settings = settings
        self.s3 = SharedS3()
        self.hub = MemoryHub(settings.ranks)
        self._defect = defect
        self._injectors: dict[str, Injector] = {}
        self.running: list[threading.Thread] = []

    def register(self, path: Path, name: str, strategy: str, workers: int) -> None:
        """Compile a model into the bucket."""
        store = S3Store(cast(Any, self.s3), self.settings.bucket)
        register_model(store, name, compile_to_store(store, path, strategy, workers, name=name))

    def infer(self, name: str, inputs: dict[str, NDArray[Any]], faults: tuple[Fault, ...], **fields: Any) -> Any:
        """The answer to a request among faults, its outputs as arrays."""
        run_id = str(fields.pop("run_id", uuid.uuid4().hex))
        self._injectors[run_id] = Injector(self.desk, run_id, faults, end=kill, freeze=lambda: time.sleep(FREEZE_S))
        npz = base64.b64encode(dump_npz(inputs)).decode()
        event = {"model": name, "run_id": run_id, "encoding": "npz", "inputs_npz": npz, **fields}
        answer = serve(self._service(run_id), event, _invocation())
        if "outputs_npz" in answer:
            answer["outputs"] = load_npz(base64.b64decode(answer["outputs_npz"]), {}, "outputs")
        return answer

    def left_behind(self) -> list[str]:
        """Objects that nobody needs any more, leases, functions that still run."""
        for thread in self.running:
            thread.join(5)
        objects = [key for key in self.s3.held if key.startswith("runs/") and key.split("/", 2)[2] not in KEPT]
        held = held_lanes(Objects(cast(Any, self.s3), self.settings.bucket), self.settings.lanes)
        return [*objects, *(lease.run_id for lease in held), *(t.name for t in self.running if t.is_alive())]

    # Lambda

    def invoke(self, Payload: bytes, **_: object) -> dict[str, Any]:
        """Start a worker, as often as the plan says."""
        start = json.loads(Payload)
        copies = 1
        for fault in self._injectors[start["run_id"]].due("start", start["attempt"], start["slot"], 0):
            if fault.kind == "throttled_start":
                raise ClientError({"Error": {"Code": "TooManyRequestsException", "Message": "Rate"}}, "Invoke")
            copies = {"never_start": 0, "duplicate_start": 2}[fault.kind]
        for _copy in range(copies):
            thread = threading.Thread(target=self._work, args=(start,), name=f"slot {start['slot']}", daemon=True)
            self.running.append(thread)
            thread.start()
        return {"StatusCode": 202}

    def get_account_settings(self) -> dict[str, Any]:
        """A quota that is large enough."""
        return {"AccountLimit": {"UnreservedConcurrentExecutions": 1000}}

    # SQS, for who returns a lane

    def receive_message(self, QueueUrl: str, **_: object) -> dict[str, Any]:
        """What is in a slot's queue; it is gone then."""
        found = self.hub.get(int(QueueUrl.rsplit("-", 1)[1]), 0.001)
        return {"Messages": [{"Body": "", "ReceiptHandle": "r"} for _ in found]} if found else {}

    def delete_message_batch(self, **_: object) -> dict[str, Any]:
        """Nothing is left to delete."""
        return {}

    def send_message(self, MessageBody: str, **_: object) -> None:
        """A lane to be emptied later: nothing is hidden here."""

    def _work(self, start: dict[str, Any]) -> None:
        try:
            follow(self._service(start["run_id"]), StartMessage.from_json(start), _invocation())
        except (Exception, Killed) as error:  # noqa: BLE001 - Lambda tells rank 0, whatever it was
            self.tell_rank_0(start, error)

    def tell_rank_0(self, start: dict[str, Any], error: BaseException) -> None:
        """Lambda's notice of a worker that did not end well."""
        failure = {"errorType": type(error).__name__, "errorMessage": str(error)}
        self.hub.put(0, json.dumps({"requestPayload": start, "responsePayload": failure}))

    def clients(self) -> FakeClients:
        """What stands where AWS does."""
        return FakeClients(self.s3, None, self, self)

    def _service(self, run_id: str) -> Service:
        here = Service(self.settings, self.clients(), Meter(), ShardCache(1 << 24))

        def change(channel: Channel) -> Channel:
            whole = without_deduplication(channel) if self._defect == "deduplication" else channel
            return make_faulty(whole, self._injectors[run_id])

        here.on_channel = change
        return here


def _invocation() -> Invocation:
    return Invocation(uuid.uuid4().hex, 3008, time.monotonic() + 900)


@contextmanager
def memory_stage(folder: Path, patch: pytest.MonkeyPatch, defect: str = "") -> Iterator[MemoryStage]:
    """A stage whose queues are a hub in memory."""
    stage = MemoryStage(folder, defect)

    def open_memory(_: Service, _start: StartMessage, config: ChannelConfig, hooks: ChannelHooks) -> Channel:
        return MemoryChannel(replace(config, poll_s=0.05), stage.hub, hooks=hooks)

    with patch.context() as patched:
        patched.setitem(wiring._OPEN, "queue", open_memory)
        yield stage
