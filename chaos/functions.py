"""Entry points that take the place of `infer` and `worker` on the harness's cloud: the same handlers, among faults.

Environment: FSD_CHAOS_DESK, the folder of plans and notes; FSD_CHAOS_DEFECT, a name of chaos.defects or nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import handlers.infer
import handlers.worker
from channels.base import Channel
from channels.queue import QueueChannel
from chaos.channel import make_faulty
from chaos.defects import without_deadlines, without_deduplication
from chaos.desk import Desk
from chaos.injector import Injector
from chaos.requests import RequestFaults
from handlers.environment import LambdaContext, service

Event = dict[str, Any]


class Environment:
    """What one function environment keeps: its desk, and the faults before its clients."""

    def __init__(self, folder: Path, defect: str) -> None:
        self.desk = Desk(folder)
        self.requests = RequestFaults()
        self._defect = defect
        if defect == "deadlines":
            without_deadlines()
        clients = service().clients
        for client in (clients.s3, clients.sns, clients.sqs, clients.functions):
            self.requests.attach(client)

    @contextmanager
    def invocation(self, run_id: str, attempt: int, slot: int) -> Iterator[None]:
        """One invocation among the faults of its run."""
        injector = Injector(self.desk, run_id, self.desk.plan(run_id))
        self.requests.begin(injector, attempt, slot)
        service().on_channel = self._channels(injector)
        self.desk.note("begin", run_id, attempt=attempt, slot=slot)
        try:
            yield
        finally:
            self.desk.note("end", run_id, attempt=attempt, slot=slot)

    def _channels(self, injector: Injector) -> Callable[[Channel], Channel]:
        def change(channel: Channel) -> Channel:
            if isinstance(channel, QueueChannel):
                self.desk.note("listen", injector.run_id, lane=lane_of(channel), slot=channel.config.slot)
            whole = without_deduplication(channel) if self._defect == "deduplication" else channel
            return make_faulty(whole, injector)

        return change


def lane_of(channel: QueueChannel) -> int:
    """Number of the lane whose queue a channel listens to, by the queue's name."""
    return int(channel._receiver._queue_url.rsplit("-lane-", 1)[1].split("-", 1)[0])


@cache
def environment() -> Environment:
    """This environment's."""
    return Environment(Path(os.environ["FSD_CHAOS_DESK"]), os.environ.get("FSD_CHAOS_DEFECT", ""))


def infer(event: Event, context: LambdaContext) -> Event:
    """The `infer` function."""
    with environment().invocation(str(event.get("run_id") or event.get("resume") or ""), 1, 0):
        return handlers.infer.handler(event, context)


def worker(event: Event, context: LambdaContext) -> Event:
    """The `worker` function."""
    with environment().invocation(event["run_id"], event["attempt"], event["slot"]):
        return handlers.worker.handler(event, context)
