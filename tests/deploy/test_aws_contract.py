"""What docs/aws.md says of AWS itself, for an account of your own: `pytest --aws tests/deploy/test_aws_contract.py`.

Uses the credentials and region of the environment; makes small resources of its own and removes them.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

pytestmark = [pytest.mark.aws]
# A filter policy may take 15 minutes; pytest's own limit comes first.
ARRIVAL_TIMEOUT_S = 500


@pytest.fixture(autouse=True)
def _only_when_asked(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--aws", default=False):
        pytest.skip("runs against a real AWS account, only with --aws")
    if os.environ.get("AWS_ENDPOINT_URL"):
        pytest.fail("AWS_ENDPOINT_URL names another cloud: unset it")


@pytest.fixture
def session() -> Any:
    """By the environment's own credentials."""
    return boto3.session.Session()


@pytest.fixture
def bucket(session: Any) -> Iterator[str]:
    """A bucket of the test's own, in us-east-1."""
    s3, name = session.client("s3", region_name="us-east-1"), f"fsd-contract-{uuid.uuid4().hex[:20]}"
    s3.create_bucket(Bucket=name)
    yield name
    for item in s3.list_objects_v2(Bucket=name).get("Contents", []):
        s3.delete_object(Bucket=name, Key=item["Key"])
    s3.delete_bucket(Bucket=name)


@pytest.fixture
def queue(session: Any) -> Iterator[str]:
    """A queue's URL."""
    sqs = session.client("sqs")
    url = sqs.create_queue(QueueName=f"fsd-contract-{uuid.uuid4().hex[:20]}")["QueueUrl"]
    yield url
    sqs.delete_queue(QueueUrl=url)


def code_of(call: Any, **arguments: Any) -> str:
    """The error's code of a call; "" when it worked."""
    try:
        call(**arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def test_a_full_bucket_is_not_deleted(session: Any, bucket: str) -> None:
    s3 = session.client("s3", region_name="us-east-1")
    s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    assert code_of(s3.delete_bucket, Bucket=bucket) == "BucketNotEmpty"


def test_a_conditional_write_loses_to_what_is_there(session: Any, bucket: str) -> None:
    s3 = session.client("s3", region_name="us-east-1")
    assert code_of(s3.put_object, Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*") == ""
    assert code_of(s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*") == "PreconditionFailed"
    assert code_of(s3.put_object, Bucket=bucket, Key="k", Body=b"3", IfMatch='"0"') == "PreconditionFailed"


def test_a_deleted_queues_name_is_refused_for_a_while(session: Any) -> None:
    sqs, name = session.client("sqs"), f"fsd-contract-{uuid.uuid4().hex[:20]}"
    sqs.delete_queue(QueueUrl=sqs.create_queue(QueueName=name)["QueueUrl"])
    assert "QueueDeletedRecently" in code_of(sqs.create_queue, QueueName=name)


def test_a_filtered_batch_arrives_with_its_text_attributes(session: Any, queue: str) -> None:
    sns, sqs = session.client("sns"), session.client("sqs")
    topic = sns.create_topic(Name=f"fsd-contract-{uuid.uuid4().hex[:20]}")["TopicArn"]
    try:
        _subscribe(sns, sqs, topic, queue, {"slot": ["1"]})
        entries = [
            {"Id": slot, "Message": slot, "MessageAttributes": {"slot": {"DataType": "String", "StringValue": slot}}}
            for slot in ("0", "1")
        ]
        publish = partial(sns.publish_batch, TopicArn=topic, PublishBatchRequestEntries=entries)
        arrived = _publish_until_arrival(publish, sqs, queue)
        # Until the filter is in effect, "0" may arrive as well.
        assert all(message["MessageAttributes"]["slot"]["StringValue"] == message["Body"] for message in arrived)
        assert "1" in {message["Body"] for message in arrived}
    finally:
        sns.delete_topic(TopicArn=topic)


def test_one_message_for_several_slots_arrives_raw_with_its_binary_attribute(session: Any, queue: str) -> None:
    sns, sqs = session.client("sns"), session.client("sqs")
    topic = sns.create_topic(Name=f"fsd-contract-{uuid.uuid4().hex[:20]}")["TopicArn"]
    parcel = bytes(range(256))
    try:
        _subscribe(sns, sqs, topic, queue, {"slot": ["1"]})
        attributes = {
            "slot": {"DataType": "String.Array", "StringValue": '["0","1"]'},
            "d": {"DataType": "Binary", "BinaryValue": parcel},
        }
        publish = partial(sns.publish, TopicArn=topic, Message=".", MessageAttributes=attributes)
        [first, *_] = _publish_until_arrival(publish, sqs, queue)
        assert first["Body"] == "."
        assert first["MessageAttributes"]["d"]["BinaryValue"] == parcel
    finally:
        sns.delete_topic(TopicArn=topic)


def test_a_batch_above_256_kib_is_refused(session: Any) -> None:
    sns = session.client("sns")
    topic = sns.create_topic(Name=f"fsd-contract-{uuid.uuid4().hex[:20]}")["TopicArn"]
    entries = [{"Id": str(i), "Message": "m" * 2**17} for i in range(3)]
    try:
        assert "BatchRequestTooLong" in code_of(sns.publish_batch, TopicArn=topic, PublishBatchRequestEntries=entries)
    finally:
        sns.delete_topic(TopicArn=topic)


def _subscribe(sns: Any, sqs: Any, topic: str, queue: str, filter_policy: dict[str, list[str]]) -> None:
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allow = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    settings = {"RawMessageDelivery": "true", "FilterPolicy": json.dumps(filter_policy)}
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=settings)


def _publish_until_arrival(publish: Callable[[], object], sqs: Any, queue: str) -> list[Any]:
    until = time.monotonic() + ARRIVAL_TIMEOUT_S
    while time.monotonic() < until:
        publish()
        answer = sqs.receive_message(
            QueueUrl=queue, WaitTimeSeconds=20, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        )
        if answer.get("Messages"):
            return list(answer["Messages"])
    pytest.fail("nothing arrived")
