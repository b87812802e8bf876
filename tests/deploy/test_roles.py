"""What the compiled roles let each function do, on an embedded cloud that enforces IAM.

The roles are those of the package, unchanged: this cloud lets its root user assume any role, AWS only Lambda itself.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from client.cloud import CloudState
from tests.deploy.clouds import connect, make_stack
from tests.deploy.packaging import Package

ACCOUNT = "000000000000"
BUCKET = f"fsd-inference-dev-{ACCOUNT}-us-east-1"
OTHER_BUCKET = f"fsd-inference-prod-{ACCOUNT}-us-east-1"
SERVICE = "fsd-inference-dev"
FAILURES = f"arn:aws:sns:us-east-1:{ACCOUNT}:{SERVICE}-failures"
TOPIC = f"arn:aws:sns:us-east-1:{ACCOUNT}:{SERVICE}-lane-0"
ROLES = ("InferRole", "WorkerRole", "RegisterRole", "ModelsRole")
KEPT = (*ROLES, "Bucket", "FailureTopic", "FailureTopicPolicy", "Lane0Topic", "Lane0TopicPolicy", "Lane0Queue0")
REFUSED = {"AccessDenied", "AccessDeniedException", "AuthorizationError", "AuthorizationErrorException", "403"}


@pytest.fixture(scope="module")
def stack(cloud: CloudState, aws_package: Package) -> CloudState:
    """The roles, bucket and a lane of the package's template, with objects there and in another stage's bucket."""
    resources = aws_package.template["Resources"]
    make_stack(cloud, SERVICE, {name: resources[name] for name in KEPT})
    s3 = connect(cloud, "s3")
    s3.create_bucket(Bucket=OTHER_BUCKET)
    for bucket in (BUCKET, OTHER_BUCKET):
        for key in ("bundles/a", "models/m.json", "runs/r/x", "lanes/0.json"):
            s3.put_object(Bucket=bucket, Key=key, Body=b"1")
    return cloud


class Actor:
    """One function's role, assumed."""

    def __init__(self, cloud: CloudState, function: str) -> None:
        role = f"arn:aws:iam::{ACCOUNT}:role/{SERVICE}-{function}-us-east-1"
        answer = connect(cloud, "sts").assume_role(RoleArn=role, RoleSessionName="test")
        self._cloud, self._keys = cloud, answer["Credentials"]

    def do(self, service: str, operation: str, **arguments: Any) -> str:
        """Make one call: "" when it was allowed and worked, else the error's code."""
        try:
            getattr(connect(self._cloud, service, self._keys), operation)(**arguments)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return ""

    def may(self, service: str, operation: str, **arguments: Any) -> bool:
        """Whether IAM lets a call through, whatever becomes of it then."""
        return self.do(service, operation, **arguments) not in REFUSED

    def reads(self, key: str, bucket: str = BUCKET) -> bool:
        """Whether it gets an object."""
        return not self.do("s3", "get_object", Bucket=bucket, Key=key)

    def writes(self, key: str, bucket: str = BUCKET) -> bool:
        """Whether it stores an object."""
        return not self.do("s3", "put_object", Bucket=bucket, Key=key, Body=b"2")

    def deletes(self, key: str) -> bool:
        """Whether it deletes an object."""
        return not self.do("s3", "delete_object", Bucket=BUCKET, Key=key)

    def invokes(self, function: str) -> bool:
        """Whether it may start a function, which need not exist."""
        return self.may("lambda", "invoke", FunctionName=function, InvocationType="Event", Payload=b"{}")


@pytest.fixture
def infer(stack: CloudState) -> Actor:
    return Actor(stack, "infer")


@pytest.fixture
def worker(stack: CloudState) -> Actor:
    return Actor(stack, "worker")


@pytest.fixture
def register(stack: CloudState) -> Actor:
    return Actor(stack, "register")


@pytest.fixture
def models(stack: CloudState) -> Actor:
    return Actor(stack, "models")


def test_this_cloud_enforces_policies(stack: CloudState, worker: Actor) -> None:
    # Without it every "may not" below would have to fail, and every "may" would say nothing.
    assert worker.do("s3", "list_buckets") in REFUSED
    assert connect(stack, "s3").list_buckets()["Buckets"]


@pytest.mark.parametrize("key", ["bundles/a", "runs/r/x"])
def test_a_worker_reads_bundles_and_its_runs(worker: Actor, key: str) -> None:
    assert worker.reads(key)


@pytest.mark.parametrize("key", ["bundles/a", "models/m.json", "runs/r/x"])
@pytest.mark.parametrize("function", ["infer", "worker", "register", "models"])
def test_no_function_reads_another_stage(stack: CloudState, function: str, key: str) -> None:
    assert not Actor(stack, function).reads(key, OTHER_BUCKET)


def test_a_worker_changes_nothing_but_runs(worker: Actor) -> None:
    assert worker.writes("runs/r/y")
    assert not any(worker.writes(key) for key in ("bundles/a", "models/m.json", "lanes/0.json", "elsewhere"))
    assert not any(worker.deletes(key) for key in ("bundles/a", "runs/r/x", "lanes/0.json"))


@pytest.mark.parametrize(
    "function", [f"{SERVICE}-infer", f"{SERVICE}-worker", f"{SERVICE}-register", "fsd-inference-prod-worker"]
)
def test_a_worker_starts_no_function(worker: Actor, function: str) -> None:
    assert not worker.invokes(function)


def test_infer_starts_workers_and_itself_and_nothing_else(infer: Actor) -> None:
    assert infer.invokes(f"{SERVICE}-worker")
    assert infer.invokes(f"{SERVICE}-infer")
    others = (f"{SERVICE}-register", f"{SERVICE}-models", "fsd-inference-prod-worker", "anything")
    assert not any(infer.invokes(function) for function in others)


def test_infer_keeps_leases_and_cannot_change_what_was_registered(infer: Actor) -> None:
    assert infer.reads("models/m.json")
    assert infer.writes("lanes/0.json")
    assert infer.writes("runs/r/result.json")
    assert not any(infer.writes(key) for key in ("models/m.json", "bundles/a"))


@pytest.mark.parametrize("function", ["infer", "worker"])
def test_ranks_use_the_lanes_and_no_other_topic_or_queue(stack: CloudState, function: str) -> None:
    actor = Actor(stack, function)
    queue = f"{stack.endpoint}/{ACCOUNT}/{SERVICE}-lane-0-slot-0"
    entries = [{"Id": "0", "Message": "m"}]
    assert not actor.do("sns", "publish_batch", TopicArn=TOPIC, PublishBatchRequestEntries=entries)
    assert not actor.do("sqs", "receive_message", QueueUrl=queue, WaitTimeSeconds=0)
    assert not actor.do("sqs", "send_message", QueueUrl=queue, MessageBody="m")
    assert not actor.may("sqs", "send_message", QueueUrl=queue.replace("-dev-", "-prod-"), MessageBody="m")
    assert not actor.may("sns", "publish", TopicArn=TOPIC.replace("-dev-", "-prod-"), Message="m")
    assert not actor.may("sqs", "receive_message", QueueUrl=queue.replace("-dev-", "-prod-"), WaitTimeSeconds=0)
    assert not actor.may("sqs", "purge_queue", QueueUrl=queue)
    assert not actor.may("sqs", "create_queue", QueueName=f"{SERVICE}-lane-0-slot-99")


def test_lambda_may_report_a_dead_worker_in_its_name(infer: Actor, worker: Actor) -> None:
    assert not worker.do("sns", "publish", TopicArn=FAILURES, Message="m")
    assert not infer.may("sns", "publish", TopicArn=FAILURES, Message="m")


@pytest.mark.parametrize("topic", [TOPIC, FAILURES])
def test_a_function_without_an_exchange_neither_publishes_nor_listens(models: Actor, topic: str) -> None:
    # SNS' default topic policy would let every principal of the account do both.
    assert not models.may("sns", "publish", TopicArn=topic, Message="m")
    listener = f"arn:aws:sqs:us-east-1:{ACCOUNT}:listener"
    assert not models.may("sns", "subscribe", TopicArn=topic, Protocol="sqs", Endpoint=listener)


def test_models_reads_and_lists_and_changes_nothing(models: Actor) -> None:
    assert models.reads("models/m.json")
    assert not models.do("s3", "list_objects_v2", Bucket=BUCKET, Prefix="models/")
    assert not any(models.writes(key) for key in ("models/m.json", "bundles/a", "runs/r/x", "lanes/0.json"))
    assert not any(models.deletes(key) for key in ("models/m.json", "bundles/a", "runs/r/x"))
    assert not models.reads("runs/r/x")


def test_register_writes_models_and_bundles_and_sees_no_run(register: Actor) -> None:
    assert register.writes("bundles/b")
    assert register.writes("models/n.json")
    assert register.deletes("bundles/b")
    assert not register.reads("runs/r/x")
    assert not any(register.writes(key) for key in ("runs/r/x", "lanes/0.json"))
    assert not register.invokes(f"{SERVICE}-infer")


@pytest.mark.parametrize("function", ["infer", "worker", "register", "models"])
def test_an_object_that_is_not_there_is_missing_and_not_forbidden(stack: CloudState, function: str) -> None:
    # AWS says 404 only to those who may list the whole bucket; this cloud to everybody, hence the look at listing.
    actor = Actor(stack, function)
    assert actor.do("s3", "get_object", Bucket=BUCKET, Key="bundles/none") == "NoSuchKey"
    assert not actor.do("s3", "list_objects_v2", Bucket=BUCKET)
    assert actor.do("s3", "list_objects_v2", Bucket=OTHER_BUCKET) in REFUSED


@pytest.mark.parametrize("function", ["infer", "worker", "register", "models"])
def test_no_function_gives_itself_more(stack: CloudState, function: str) -> None:
    actor = Actor(stack, function)
    name = f"{SERVICE}-{function}-us-east-1"
    policy = json.dumps({"Version": "2012-10-17", "Statement": []})
    assert not actor.may("iam", "put_role_policy", RoleName=name, PolicyName="more", PolicyDocument=policy)
    assert not actor.may("sts", "assume_role", RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{name}", RoleSessionName="again")
    assert not actor.may("s3", "put_bucket_policy", Bucket=BUCKET, Policy=policy)
