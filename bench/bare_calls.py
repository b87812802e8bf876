"""The same number of SDK calls with nothing in them: what a run's requests would take if nobody computed or waited."""

from __future__ import annotations

import multiprocessing
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from typing import Any

from client.target import session_of

START_S = 120.0


@dataclass(frozen=True)
class Things:
    """What the calls are about, on the embedded cloud; made for them and removed afterwards."""

    topic: str
    queue: str
    spare: str
    bucket: str


Clients = Mapping[str, Any]


def _clients(settings: Mapping[str, str]) -> Clients:
    session, endpoint = session_of(settings), settings["AWS_ENDPOINT_URL"]
    return {
        "sns": session.client("sns", endpoint_url=endpoint),
        "sqs": session.client("sqs", endpoint_url=endpoint),
        "s3": session.client("s3", endpoint_url=endpoint),
    }


@contextmanager
def _things(clients: Clients) -> Iterator[Things]:
    """A topic without subscriptions, an empty queue, one for what is sent, and a bucket with one empty object."""
    sns, sqs, s3 = clients["sns"], clients["sqs"], clients["s3"]
    name = f"bare-{secrets.token_hex(4)}"
    empty, spare = (sqs.create_queue(QueueName=f"{name}-{use}")["QueueUrl"] for use in ("empty", "spare"))
    made = Things(sns.create_topic(Name=name)["TopicArn"], empty, spare, name)
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="x", Body=b"")
    try:
        yield made
    finally:
        s3.delete_object(Bucket=name, Key="x")
        s3.delete_bucket(Bucket=name)
        for url in (empty, spare):
            sqs.delete_queue(QueueUrl=url)
        sns.delete_topic(TopicArn=made.topic)


def bare_seconds(settings: Mapping[str, str], calls: Mapping[str, int], processes: int) -> float:
    """Wall seconds of these calls, by operation, divided over so many processes that begin at the same time.

    settings: environment variables that say which embedded cloud, see client.cloud.
    """
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(processes + 1)
    share = {operation: -(-count // processes) for operation, count in calls.items() if operation in _CALLS}
    with _things(_clients(settings)) as made:
        started = [context.Process(target=_call, args=(settings, made, share, barrier)) for _ in range(processes)]
        for process in started:
            process.start()
        barrier.wait(START_S)
        began = time.perf_counter()
        for process in started:
            process.join()
        return time.perf_counter() - began


def _call(settings: Mapping[str, str], made: Things, share: Mapping[str, int], barrier: Barrier) -> None:
    clients = _clients(settings)
    for operation in share:  # a first one opens the connection
        _CALLS[operation](clients, made)
    barrier.wait(START_S)
    for operation, count in share.items():
        for _ in range(count):
            _CALLS[operation](clients, made)


_CALLS: dict[str, Callable[[Clients, Things], object]] = {
    "s3:GetObject": lambda clients, made: clients["s3"].get_object(Bucket=made.bucket, Key="x")["Body"].read(),
    "s3:PutObject": lambda clients, made: clients["s3"].put_object(Bucket=made.bucket, Key="x", Body=b""),
    "sns:Publish": lambda clients, made: clients["sns"].publish(TopicArn=made.topic, Message="."),
    "sns:PublishBatch": lambda clients, made: clients["sns"].publish_batch(
        TopicArn=made.topic, PublishBatchRequestEntries=[{"Id": "0", "Message": "."}]
    ),
    "sqs:DeleteMessageBatch": lambda clients, made: clients["sqs"].delete_message_batch(
        QueueUrl=made.queue, Entries=[{"Id": "0", "ReceiptHandle": "none"}]
    ),
    "sqs:SendMessage": lambda clients, made: clients["sqs"].send_message(QueueUrl=made.spare, MessageBody="."),
    "sqs:ReceiveMessage": lambda clients, made: clients["sqs"].receive_message(QueueUrl=made.queue, WaitTimeSeconds=0),
}
