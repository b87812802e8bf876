"""What a function's environment keeps between invocations: clients, the meter, and the shards it has loaded."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from bundle.manifest import Manifest
from bundle.store import S3Store
from channels.base import Channel
from costs.calls import CallCount, subtract
from costs.meter import Meter
from engine.cache import ShardCache
from runs.log import Log
from runs.objects import Objects
from runs.record import RunFiles
from runs.settings import Settings

if TYPE_CHECKING:
    from types_boto3_lambda import LambdaClient
    from types_boto3_s3 import S3Client
    from types_boto3_sns import SNSClient
    from types_boto3_sqs import SQSClient


class Clients(Protocol):
    """AWS, as the functions use it; a client may be made when it is first asked for."""

    @property
    def s3(self) -> S3Client: ...  # noqa: D102
    @property
    def sns(self) -> SNSClient: ...  # noqa: D102
    @property
    def sqs(self) -> SQSClient: ...  # noqa: D102
    @property
    def functions(self) -> LambdaClient: ...  # noqa: D102


@dataclass
class Service:
    """One function environment.

    fresh: no invocation has been served yet: this one is a cold start.
    quota: concurrent executions of the account, and when that was read (time.monotonic).
    created_at: seconds since 1970 when the stack's queues were made, once that has been asked.
    manifests: those read so far, by bundle id.
    step_calls: of the invocation's calls, those of each step of the program.
    on_channel: gets each channel that is opened and returns the one to use; fault injection puts its own here.
    """

    settings: Settings
    clients: Clients
    meter: Meter
    cache: ShardCache
    fresh: bool = True
    quota: tuple[float, int] | None = field(default=None, repr=False)
    created_at: float | None = None
    manifests: dict[str, Manifest] = field(default_factory=dict, repr=False)
    step_calls: dict[int, dict[str, CallCount]] = field(default_factory=dict, repr=False)
    on_channel: Callable[[Channel], Channel] = field(default=lambda channel: channel, repr=False)

    @property
    def objects(self) -> Objects:
        """The stage's bucket."""
        return Objects(self.clients.s3, self.settings.bucket)

    def files(self, run_id: str) -> RunFiles:
        """The objects of one run; what is exchanged may lie in a bucket of its own."""
        settings = self.settings
        exchange = Objects(self.clients.s3, settings.express_bucket) if settings.express_bucket else None
        return RunFiles(self.objects, run_id, exchange)

    @property
    def store(self) -> S3Store:
        """The stage's bucket, as bundles are read from it."""
        return S3Store(self.clients.s3, self.settings.bucket)

    def calls_of(self, invocation: Invocation) -> dict[str, CallCount]:
        """The calls made since an invocation began."""
        return subtract(self.meter.snapshot(), invocation.calls_before)

    def take_step_calls(self) -> dict[int, dict[str, CallCount]]:
        """The calls by step; the next invocation begins with none."""
        taken, self.step_calls = self.step_calls, {}
        return taken

    def take_fresh(self) -> bool:
        """Whether this is the environment's first invocation; False from then on."""
        fresh, self.fresh = self.fresh, False
        return fresh


@dataclass(frozen=True)
class Invocation:
    """One call of a function: what Lambda says of it.

    ends_at: when Lambda stops it, in time.monotonic's seconds.
    cold: the first of its environment.
    calls_before: what the environment's meter had counted when it began.
    log: of this invocation.
    """

    request_id: str
    memory_mb: int
    ends_at: float
    started_at: float = field(default_factory=time.monotonic)
    cold: bool = False
    calls_before: Mapping[str, CallCount] = field(default_factory=dict)
    log: Log = field(default_factory=Log, repr=False)
