"""Which cloud and stage a command means, and what the stack there is called.

The embedded cloud of this checkout unless FSD_TARGET=aws (or AWS_ENDPOINT_URL names another endpoint); the stage is
FSD_STAGE, else `local` on the embedded cloud and `dev` on AWS, as in serverless.yml.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from client.cloud import EmbeddedCloud, client_environment
from client.errors import CloudError

if TYPE_CHECKING:
    from types_boto3_lambda import LambdaClient
    from types_boto3_logs import CloudWatchLogsClient
    from types_boto3_s3 import S3Client

SERVICE = "fsd-inference"
# Longer than any answer of `infer`: by default it answers within 90 s.
READ_TIMEOUT_S = 900.0
# Jittered backoff for throttles and 5xx.
_RETRIED = Config(retries={"mode": "standard", "max_attempts": 5})


@dataclass(frozen=True)
class Stage:
    """One deployed stage, and clients for it.

    functions: never retries and waits `read_timeout_s` for an answer: a repeated invoke would be a second run.
    """

    name: str
    bucket: str
    s3: S3Client
    functions: LambdaClient
    logs: CloudWatchLogsClient

    def function(self, name: str) -> str:
        """Full name of one of the service's functions."""
        return f"{SERVICE}-{self.name}-{name}"


def find_stage(
    *, cloud: EmbeddedCloud | None = None, environment: Mapping[str, str] = os.environ, read_timeout_s: float = 0.0
) -> Stage:
    """The stage that the environment means.

    read_timeout_s: socket timeout of an invocation; FSD_READ_TIMEOUT_S, else READ_TIMEOUT_S, when 0.

    Raises:
        CloudError: the embedded cloud is not running, or the stage is not deployed there.
    """
    settings = _settings(cloud, environment)
    session = session_of(settings)
    endpoint = settings.get("AWS_ENDPOINT_URL")
    name = settings.get("FSD_STAGE", "dev")
    timeout = read_timeout_s or float(environment.get("FSD_READ_TIMEOUT_S", READ_TIMEOUT_S))
    once = Config(read_timeout=timeout, connect_timeout=10, retries={"total_max_attempts": 1})
    return Stage(
        name=name,
        bucket=_bucket(session, endpoint, f"{SERVICE}-{name}"),
        s3=session.client("s3", endpoint_url=endpoint, config=_RETRIED.merge(Config(s3={"addressing_style": "path"}))),
        functions=session.client("lambda", endpoint_url=endpoint, config=once),
        logs=session.client("logs", endpoint_url=endpoint, config=_RETRIED),
    )


def session_of(settings: Mapping[str, str]) -> boto3.session.Session:
    """A session with the credentials and the region of these variables of an environment."""
    return boto3.session.Session(
        aws_access_key_id=settings.get("AWS_ACCESS_KEY_ID"),
        aws_secret_access_key=settings.get("AWS_SECRET_ACCESS_KEY"),
        aws_session_token=settings.get("AWS_SESSION_TOKEN") or None,
        region_name=settings.get("AWS_REGION") or settings.get("AWS_DEFAULT_REGION") or "us-east-1",
    )


def _settings(cloud: EmbeddedCloud | None, environment: Mapping[str, str]) -> dict[str, str]:
    if cloud is None and (environment.get("FSD_TARGET") == "aws" or environment.get("AWS_ENDPOINT_URL")):
        return dict(environment)
    state = (cloud or EmbeddedCloud()).require()
    return dict(environment) | {"AWS_SESSION_TOKEN": ""} | client_environment(state)


def _bucket(session: Any, endpoint: str | None, stack: str) -> str:
    formation = session.client("cloudformation", endpoint_url=endpoint)
    try:
        outputs = formation.describe_stacks(StackName=stack)["Stacks"][0].get("Outputs", [])
    except ClientError as error:
        if "does not exist" in str(error):
            raise CloudError(f"stack {stack} is not deployed: run `sls deploy` (see README)") from None
        raise CloudError(f"stack {stack} cannot be read: {error}") from error
    except BotoCoreError as error:
        raise CloudError(f"the cloud at {endpoint or 'AWS'} does not answer: {error}") from error
    found = [str(output["OutputValue"]) for output in outputs if output["OutputKey"] == "BucketName"]
    if not found:
        raise CloudError(f"stack {stack} has no output BucketName: its deployment did not finish; run `sls deploy`")
    return found[0]
