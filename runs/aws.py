"""The AWS clients of a function, every request counted by the meter."""

from __future__ import annotations

import boto3
from botocore.config import Config

from costs.hook import attach
from costs.meter import Meter
from runs.service import Clients

# A long poll lasts 20 s. Retries are the SDK's standard mode: jittered backoff for throttles and 5xx, within a budget.
# Calls are most of a rank's CPU time. What the SDK checks is checked here, too: types by mypy, frames by their MAC,
# shards by their sha256. Without that, and with a short name, a GET takes 0.97 ms of CPU instead of 1.3.
_CONFIG = Config(
    parameter_validation=False,
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
    user_agent="fsd-inference",
    connect_timeout=5,
    read_timeout=35,
    retries={"mode": "standard", "max_attempts": 5},
    max_pool_connections=64,
    tcp_keepalive=True,
)
# Invoke, too, may be repeated: of two copies of a worker one finds the slot claimed, of two of rank 0 the run driven.
_INVOKE_CONFIG = _CONFIG.merge(Config(read_timeout=15))


def make_clients(meter: Meter, region: str | None = None) -> Clients:
    """Clients by the environment's credentials, region and endpoint."""
    session = boto3.session.Session(region_name=region)
    clients = Clients(
        s3=session.client("s3", config=_CONFIG.merge(Config(s3={"addressing_style": "path"}))),
        sns=session.client("sns", config=_CONFIG),
        sqs=session.client("sqs", config=_CONFIG),
        functions=session.client("lambda", config=_INVOKE_CONFIG),
    )
    for client in (clients.s3, clients.sns, clients.sqs, clients.functions):
        attach(client, meter)
    return clients
