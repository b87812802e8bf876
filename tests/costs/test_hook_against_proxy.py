"""The hook's counts against those of an independent proxy, call by call and byte by byte."""

from __future__ import annotations

import io
import uuid
from dataclasses import asdict
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from costs import Meter, attach
from tests.costs.conftest import client_of
from tests.proxy.counting_proxy import CountingProxy, Counts

NAMES = ("lambda", "s3", "sns", "sqs")


class Cloud:
    """Metered clients through the proxy, and a topic with a queue and a bucket that were made past it."""

    def __init__(self, cloud_url: str, proxy: CountingProxy) -> None:
        self.proxy, self.meter = proxy, Meter()
        self.clients = {name: client_of(name, proxy.url) for name in NAMES}
        for client in self.clients.values():
            attach(client, self.meter)
        self.setup = {name: client_of(name, cloud_url) for name in NAMES}
        self.bucket, name = f"b-{uuid.uuid4().hex}", f"q-{uuid.uuid4().hex}"
        self.setup["s3"].create_bucket(Bucket=self.bucket)
        self.queue = self.setup["sqs"].create_queue(QueueName=name)["QueueUrl"]
        self.topic = self.setup["sns"].create_topic(Name=name)["TopicArn"]
        self._subscribe()

    def _subscribe(self) -> None:
        arn = self.setup["sqs"].get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])
        endpoint = arn["Attributes"]["QueueArn"]
        raw = {"RawMessageDelivery": "true"}
        self.setup["sns"].subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=endpoint, Attributes=raw)

    def counted(self) -> Counts:
        """What was counted since the last look; fails unless hook and proxy agree."""
        ours = {name: asdict(count) for name, count in self.meter.reset().items()}
        theirs = self.proxy.counts()
        self.proxy.reset()
        assert ours == theirs
        return theirs

    def put(self, body: bytes, key: str = "k") -> None:
        """Store an object, past the proxy."""
        self.setup["s3"].put_object(Bucket=self.bucket, Key=key, Body=body)

    def receive_all(self) -> list[dict[str, Any]]:
        """Take every message from the queue, past the proxy."""
        taken: list[dict[str, Any]] = []
        while batch := self.setup["sqs"].receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages"):
            taken += batch
        return taken


@pytest.fixture
def cloud(cloud_url: str, proxy: CountingProxy) -> Cloud:
    return Cloud(cloud_url, proxy)


def count(requests: int, units: int, size: int) -> dict[str, int]:
    return {"requests": requests, "units": units, "bytes": size}


def text(value: str) -> dict[str, str]:
    return {"DataType": "String", "StringValue": value}


RANK = {"rank": text("3")}  # 4 + 6 + 1 = 11 bytes
BLOB = {"blob": {"DataType": "Binary", "BinaryValue": b"\x00\xff" * 5}}  # 4 + 6 + 10 = 20 bytes
SNOWMAN = "\u2603"  # 3 bytes as UTF-8


def test_publish_batch_counts_bodies_and_attributes_once(cloud: Cloud) -> None:
    entries = [{"Id": str(i), "Message": "x" * 100, "MessageAttributes": RANK} for i in range(10)]
    cloud.clients["sns"].publish_batch(TopicArn=cloud.topic, PublishBatchRequestEntries=entries)
    assert cloud.counted() == {"sns:PublishBatch": count(1, 1, 10 * 111)}
    assert len(cloud.receive_all()) == 10


def test_publish_counts_utf8_and_raw_binary(cloud: Cloud) -> None:
    cloud.clients["sns"].publish(TopicArn=cloud.topic, Message=SNOWMAN, MessageAttributes={**RANK, **BLOB})
    assert cloud.counted() == {"sns:Publish": count(1, 1, 3 + 11 + 20)}


@pytest.mark.parametrize(("size", "units"), [(65_536, 1), (65_537, 2), (204_800, 4), (262_144, 4)])
def test_publish_is_charged_per_64_kib(cloud: Cloud, size: int, units: int) -> None:
    cloud.clients["sns"].publish(TopicArn=cloud.topic, Message="x" * size)
    assert cloud.counted() == {"sns:Publish": count(1, units, size)}


def test_attributes_can_push_a_publish_over_the_boundary(cloud: Cloud) -> None:
    cloud.clients["sns"].publish(TopicArn=cloud.topic, Message="x" * 65_526, MessageAttributes=RANK)
    assert cloud.counted() == {"sns:Publish": count(1, 2, 65_537)}


def test_a_batch_is_charged_by_its_total(cloud: Cloud) -> None:
    entries = [{"Id": str(i), "MessageBody": "x" * 30_000, "MessageAttributes": {**RANK, **BLOB}} for i in range(5)]
    cloud.clients["sqs"].send_message_batch(QueueUrl=cloud.queue, Entries=entries)
    assert cloud.counted() == {"sqs:SendMessageBatch": count(1, 3, 5 * 30_031)}


def test_send_message_counts_body_and_attributes(cloud: Cloud) -> None:
    cloud.clients["sqs"].send_message(QueueUrl=cloud.queue, MessageBody=SNOWMAN * 2, MessageAttributes=BLOB)
    assert cloud.counted() == {"sqs:SendMessage": count(1, 1, 26)}


def test_receive_counts_what_arrived_and_delete_counts_no_bytes(cloud: Cloud) -> None:
    bodies = [{"Id": str(i), "MessageBody": "x" * 50_000, "MessageAttributes": {**RANK, **BLOB}} for i in range(2)]
    cloud.setup["sqs"].send_message_batch(QueueUrl=cloud.queue, Entries=bodies)
    answer = cloud.clients["sqs"].receive_message(
        QueueUrl=cloud.queue, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    )
    assert len(answer["Messages"]) == 2
    assert cloud.counted() == {"sqs:ReceiveMessage": count(1, 2, 2 * 50_031)}
    entries = [{"Id": m["MessageId"], "ReceiptHandle": m["ReceiptHandle"]} for m in answer["Messages"]]
    cloud.clients["sqs"].delete_message_batch(QueueUrl=cloud.queue, Entries=entries)
    assert cloud.counted() == {"sqs:DeleteMessageBatch": count(1, 1, 0)}


def test_an_empty_receive_is_one_unit(cloud: Cloud) -> None:
    answer = cloud.clients["sqs"].receive_message(QueueUrl=cloud.queue, WaitTimeSeconds=1)
    assert not answer.get("Messages")
    assert cloud.counted() == {"sqs:ReceiveMessage": count(1, 1, 0)}


def test_attributes_that_were_not_asked_for_are_not_received(cloud: Cloud) -> None:
    cloud.setup["sqs"].send_message(QueueUrl=cloud.queue, MessageBody="x" * 7, MessageAttributes=RANK)
    cloud.clients["sqs"].receive_message(QueueUrl=cloud.queue)
    assert cloud.counted() == {"sqs:ReceiveMessage": count(1, 1, 7)}


@pytest.mark.parametrize(
    "body", [b"x" * 300_000, io.BytesIO(b"x" * 300_000), "x" * 300_000], ids=lambda b: type(b).__name__
)
def test_put_object_counts_the_object(cloud: Cloud, body: bytes | io.BytesIO | str) -> None:
    cloud.clients["s3"].put_object(Bucket=cloud.bucket, Key="k", Body=body)
    assert cloud.counted() == {"s3:PutObject": count(1, 1, 300_000)}


def test_a_stream_is_counted_from_where_it_stands(cloud: Cloud) -> None:
    stream = io.BytesIO(b"x" * 1000)
    stream.seek(400)
    cloud.clients["s3"].put_object(Bucket=cloud.bucket, Key="k", Body=stream)
    assert cloud.counted() == {"s3:PutObject": count(1, 1, 600)}


def test_an_empty_object_has_no_bytes(cloud: Cloud) -> None:
    cloud.clients["s3"].put_object(Bucket=cloud.bucket, Key="k")
    assert cloud.counted() == {"s3:PutObject": count(1, 1, 0)}


def test_get_object_counts_the_object_and_leaves_the_stream_to_the_caller(cloud: Cloud) -> None:
    cloud.put(b"y" * 100_000)
    answer = cloud.clients["s3"].get_object(Bucket=cloud.bucket, Key="k")
    assert answer["Body"].read() == b"y" * 100_000
    assert cloud.counted() == {"s3:GetObject": count(1, 1, 100_000)}


def test_a_ranged_get_counts_the_range(cloud: Cloud) -> None:
    cloud.put(b"y" * 1000)
    answer = cloud.clients["s3"].get_object(Bucket=cloud.bucket, Key="k", Range="bytes=10-109")
    assert len(answer["Body"].read()) == 100
    assert cloud.counted() == {"s3:GetObject": count(1, 1, 100)}


def test_a_missing_object_is_a_charged_request_without_bytes(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="NoSuchKey"):
        cloud.clients["s3"].get_object(Bucket=cloud.bucket, Key="absent")
    assert cloud.counted() == {"s3:GetObject": count(1, 1, 0)}


def test_a_lost_conditional_write_is_a_charged_request(cloud: Cloud) -> None:
    cloud.put(b"first")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        cloud.clients["s3"].put_object(Bucket=cloud.bucket, Key="k", Body=b"second", IfNoneMatch="*")
    assert cloud.counted() == {"s3:PutObject": count(1, 1, 6)}


def test_heads_lists_copies_and_deletes_have_no_bytes(cloud: Cloud) -> None:
    s3 = cloud.clients["s3"]
    cloud.put(b"z" * 5000)
    s3.head_object(Bucket=cloud.bucket, Key="k")
    s3.list_objects_v2(Bucket=cloud.bucket, Prefix="k")
    s3.copy_object(Bucket=cloud.bucket, Key="copy", CopySource={"Bucket": cloud.bucket, "Key": "k"})
    s3.delete_objects(Bucket=cloud.bucket, Delete={"Objects": [{"Key": "k"}]})
    s3.delete_object(Bucket=cloud.bucket, Key="copy")
    expected = ("CopyObject", "DeleteObject", "DeleteObjects", "HeadObject", "ListObjectsV2")
    assert cloud.counted() == {f"s3:{name}": count(1, 1, 0) for name in expected}


def test_a_multipart_upload_counts_each_part(cloud: Cloud) -> None:
    parts = TransferConfig(multipart_threshold=5 * 1024**2, multipart_chunksize=5 * 1024**2, max_concurrency=3)
    cloud.clients["s3"].upload_fileobj(io.BytesIO(b"m" * (11 * 1024**2)), cloud.bucket, "big", Config=parts)
    counts = cloud.counted()
    assert counts["s3:UploadPart"] == count(3, 3, 11 * 1024**2)
    assert set(counts) == {"s3:CreateMultipartUpload", "s3:UploadPart", "s3:CompleteMultipartUpload"}


def test_invoke_counts_its_payload(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="ResourceNotFound"):
        cloud.clients["lambda"].invoke(FunctionName="absent", InvocationType="Event", Payload=b'{"rank":1}')
    assert cloud.counted() == {"lambda:Invoke": count(1, 1, 10)}


def test_every_action_of_a_queue_is_counted(cloud: Cloud) -> None:
    cloud.clients["sqs"].get_queue_attributes(QueueUrl=cloud.queue, AttributeNames=["All"])
    cloud.clients["sns"].get_topic_attributes(TopicArn=cloud.topic)
    assert cloud.counted() == {"sns:GetTopicAttributes": count(1, 1, 0), "sqs:GetQueueAttributes": count(1, 1, 0)}
