"""What the end-to-end tests do to the cloud behind the service's back, and what they find there."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, TypeVar, get_args

import boto3

from client.api import Client
from client.errors import UsageError
from costs import UsageRecord
from runs.lease import Lease, held_lanes
from runs.objects import Objects
from tests.conftest import Deployment

T = TypeVar("T")
BUSY_TICKS = 3
FLUSH_S = 10.0
Count = Literal[
    "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"
]
EVERY: tuple[Count, ...] = get_args(Count)


@contextlib.contextmanager
def killing_a_worker(
    deployment: Deployment,
    run_id: str,
    attempt: int = 1,
    slots: int = 3,
    function: str = "worker",
    after_s: float = 0.0,
    how: signal.Signals = signal.SIGKILL,
    stopped_s: float | None = None,
) -> Iterator[list[float]]:
    """SIGKILL a busy process of a function `after_s` after all workers of the attempt were up; the list holds when.

    how: another signal; a process that was stopped goes on after `stopped_s`, or at the end of the block.
    """
    killed_at: list[float] = []
    processes: list[int] = []

    def kill() -> None:
        claims = {f"runs/{run_id}/claims/{attempt}-{slot}" for slot in range(1, slots)}
        until = time.monotonic() + 60
        while not claims <= keys_under(deployment.client, f"runs/{run_id}/") and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(after_s)
        processes.append(_busiest(lambda: _processes(deployment, function)))
        os.kill(processes[0], how)
        killed_at.append(time.monotonic())
        if stopped_s is not None:
            time.sleep(stopped_s)
            os.kill(processes[0], signal.SIGCONT)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed_at
    finally:
        thread.join()
        if how == signal.SIGSTOP and processes:
            os.kill(processes[0], signal.SIGCONT)


def _processes(deployment: Deployment, function: str) -> list[int]:
    """Processes of the cloud's group that run a function."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            words = (folder / "cmdline").read_bytes().decode()
            if os.getpgid(int(folder.name)) == deployment.cloud.require().pid and f"-{function}-" in words:
                found.append(int(folder.name))
    return found


def _busiest(processes: Callable[[], list[int]], over_s: float = 0.2, tries: int = 60) -> int:
    """The process that has used most of a processor for `over_s`: one that takes part in a run."""
    for _ in range(tries):
        before = {pid: _cpu_ticks(pid) for pid in processes()}
        time.sleep(over_s)
        spent = {pid: _cpu_ticks(pid) - ticks for pid, ticks in before.items()}
        busiest = max(spent, key=lambda pid: spent[pid])
        if spent[busiest] >= BUSY_TICKS:
            break
    return busiest


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def keys_under(client: Client, prefix: str) -> set[str]:
    """Keys of the stage's bucket."""
    pages = client.stage.s3.get_paginator("list_objects_v2").paginate(Bucket=client.stage.bucket, Prefix=prefix)
    return {entry["Key"] for page in pages for entry in page.get("Contents", [])}


def leases(deployment: Deployment) -> list[Lease]:
    """Lanes that are taken."""
    stage = deployment.client.stage
    return list(held_lanes(Objects(stage.s3, stage.bucket), 2))


def assert_only_the_result_is_left(deployment: Deployment, run_id: str) -> None:
    """Of a run that has ended."""
    left = {key.rsplit("/", 1)[1] for key in keys_under(deployment.client, f"runs/{run_id}/")}
    assert left <= {"request.json", "record.json", "input.npz", "output.npz"}
    assert "record.json" in left


def await_usage(
    deployment: Deployment, run_id: str, count: int, workers_only: bool = False, within_s: float = 60.0
) -> Sequence[UsageRecord]:
    """Usage lines of a run, once there are `count`: invocations that have ended, with an answer or without."""

    def read() -> Sequence[UsageRecord]:
        records = deployment.client.bill(run_id).usage.records
        return [record for record in records if record.rank > 0 or not workers_only]

    return await_logged(deployment, read, count, within_s)


def await_logged(
    deployment: Deployment, read: Callable[[], Sequence[T]], count: int, within_s: float = 60.0
) -> Sequence[T]:
    """What `read` finds in the functions' logs, once it is `count`."""
    began = flushed = time.monotonic()
    found: Sequence[T] = ()
    while len(found) < count and time.monotonic() - began < within_s:
        with contextlib.suppress(UsageError):
            found = read()
        if time.monotonic() - flushed > FLUSH_S:
            _flush_logs(deployment)
            flushed = time.monotonic()
        time.sleep(0.1)
    return found


def _flush_logs(deployment: Deployment) -> None:
    """A line that the emulator reads late stands in the log of the process's next invocation: let there be one."""
    functions = deployment.client.stage.functions
    for name in ("infer", "worker"):
        processes = _processes(deployment, name)
        with ThreadPoolExecutor(max(1, len(processes))) as pool:
            for _ in processes:
                pool.submit(functions.invoke, FunctionName=deployment.client.stage.function(name), Payload=b"{}")


def queued(deployment: Deployment) -> int:
    """Messages in all of the stage's queues, those in flight included."""
    return _count(deployment, "", ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"))


def await_queued(deployment: Deployment, most: int, within_s: float = 60.0) -> int:
    """Messages in all queues, once there are no more than `most`: one may wait for a lane to be looked at again."""
    until = time.monotonic() + within_s
    while (count := queued(deployment)) > most and time.monotonic() < until:
        time.sleep(0.5)
    return count


def await_later_work(deployment: Deployment, within_s: float = 60.0) -> None:
    """Until nothing is due any more: lanes of runs that lost a process are looked at again 25 s later.

    For who counts calls: what the functions do then is not the next run's.
    """
    until = time.monotonic() + within_s
    while _count(deployment, "-line", EVERY) and time.monotonic() < until:
        time.sleep(0.5)
    time.sleep(1.0)  # the last one's receives


def _count(deployment: Deployment, ending: str, names: Sequence[Count]) -> int:
    client = boto3.client(
        "sqs",
        endpoint_url=deployment.environment["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    urls = [url for url in client.list_queues().get("QueueUrls", []) if url.endswith(ending)]
    found = [client.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"] for url in urls]
    return sum(int(attributes[name]) for attributes in found for name in names)
