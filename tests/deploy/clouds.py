"""Small stacks and clients on an embedded cloud that enforces IAM."""

from __future__ import annotations

import json
from typing import Any

import boto3
from botocore.config import Config

from client.cloud import CloudState

# Its root user; every other principal may do only what its policies say.
ROOT_KEYS = {"AccessKeyId": "test", "SecretAccessKey": "test", "SessionToken": None}


def connect(cloud: CloudState, service: str, keys: dict[str, Any] = ROOT_KEYS) -> Any:
    """A client that neither retries nor uses bucket names as host names."""
    session: Any = boto3.session.Session(
        keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], region_name="us-east-1"
    )
    config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
    return session.client(service, endpoint_url=cloud.endpoint, config=config)


def make_stack(cloud: CloudState, name: str, resources: dict[str, Any]) -> None:
    """Create a stack and wait for it."""
    formation = connect(cloud, "cloudformation")
    formation.create_stack(
        StackName=name, TemplateBody=json.dumps({"Resources": resources}), Capabilities=["CAPABILITY_NAMED_IAM"]
    )
    formation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
