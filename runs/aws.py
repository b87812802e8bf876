"""The AWS clients of a function, every request counted by the meter.

A cold start pays for what is imported and built before the first call. So the clients are botocore's, without boto3 and
its s3transfer, and each is made when it is first used: a worker that exchanges by S3 has one client of four.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, cast

from botocore.config import Config
from botocore.httpsession import where
from botocore.session import Session, get_session

from costs.hook import attach
from costs.meter import Meter
from runs import wire
from runs.forms import send_forms_as_bytes

if TYPE_CHECKING:
    from types_boto3_lambda import LambdaClient
    from types_boto3_s3 import S3Client
    from types_boto3_sns import SNSClient
    from types_boto3_sqs import SQSClient

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
_S3_CONFIG = _CONFIG.merge(Config(s3={"addressing_style": "path"}))
# Invoke, too, may be repeated: of two copies of a worker one finds the slot claimed, of two of rank 0 the run driven.
_INVOKE_CONFIG = _CONFIG.merge(Config(read_timeout=15))
_MANY_CALLS = frozenset({"s3", "sns", "sqs"})


class LazyClients:
    """`runs.service.Clients` by the environment's credentials, region and endpoint; several threads may ask at once."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._lock = threading.Lock()
        self._made: dict[str, Any] = {}
        self._session: Session | None = None

    @property
    def s3(self) -> S3Client:
        """S3, addressed by path."""
        return cast("S3Client", self._client("s3", _S3_CONFIG))

    @property
    def sns(self) -> SNSClient:
        """SNS."""
        return cast("SNSClient", self._client("sns", _CONFIG))

    @property
    def sqs(self) -> SQSClient:
        """SQS."""
        return cast("SQSClient", self._client("sqs", _CONFIG))

    @property
    def functions(self) -> LambdaClient:
        """Lambda."""
        return cast("LambdaClient", self._client("lambda", _INVOKE_CONFIG))

    def _client(self, name: str, config: Config) -> Any:
        with self._lock:  # botocore's sessions are for one thread at a time
            if name not in self._made:
                self._session = self._session or _new_session()
                self._made[name] = self._session.create_client(name, config=config)
                attach(self._made[name], self._meter)
                if name in _MANY_CALLS:
                    wire.attach(self._made[name], self._session.get_config_variable("ca_bundle") or where())
                if name == "sns":
                    send_forms_as_bytes(self._made[name])
            return self._made[name]


def _new_session() -> Session:
    session = get_session()
    session.register("creating-client-class.s3", _add_transfers)
    return session


def _add_transfers(**event: Any) -> None:
    """Give S3 clients the two methods by which `register` moves files of any size, as boto3 does."""
    event["class_attributes"].update(upload_file=_upload_file, download_file=_download_file)


def _upload_file(client: S3Client, *arguments: Any, **options: Any) -> None:
    from boto3.s3.inject import upload_file

    upload_file(client, *arguments, **options)


def _download_file(client: S3Client, *arguments: Any, **options: Any) -> None:
    from boto3.s3.inject import download_file

    download_file(client, *arguments, **options)
