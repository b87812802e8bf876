"""The price formula of the FSD-Inference paper, for comparison only: the project's own bill is costs.bill.

It leaves out SQS deletes, 64 KiB chunks on receive and reads of weights, charges SNS bytes, and takes a publish's units
from the mean size of a publish. With that it gives the authors' published USD to 0.02 % (tests hold it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from costs.calls import NONE, CallCounts
from costs.rules import price_name
from costs.usage import LambdaUsage

INVOCATION_USD = 0.2e-6
MEMORY_SECOND_USD = 2.1e-6
"""US dollars for 128 MB during one second."""
PUBLISH_USD = 0.5e-6
SNS_BYTE_USD = 0.09e-9
POLL_USD = 0.4e-6
PUT_USD = 5.3e-6
GET_USD = 0.42e-6
CHUNK_BYTES = 65_536


@dataclass(frozen=True)
class PaperCounts:
    """What the paper's formula reads.

    invocations:       P workers and their coordinator.
    worker_seconds:    running time in seconds, summed over the workers.
    memory_mb:         of each worker.
    publishes:         publish requests, batches counted once.
    published_bytes:   bytes of all publishes.
    polls:             receive requests.
    puts, lists, gets: S3 requests.
    """

    invocations: int
    worker_seconds: float
    memory_mb: int
    publishes: int = 0
    published_bytes: int = 0
    polls: int = 0
    puts: int = 0
    lists: int = 0
    gets: int = 0


def authors_usd(counts: PaperCounts) -> float:
    """US dollars by the paper's formula (arXiv 2403.15195)."""
    compute = counts.invocations * INVOCATION_USD + counts.worker_seconds * counts.memory_mb / 128 * MEMORY_SECOND_USD
    publish = publish_units(counts) * PUBLISH_USD + counts.published_bytes * SNS_BYTE_USD
    objects = (counts.puts + counts.lists) * PUT_USD + counts.gets * GET_USD
    return compute + publish + counts.polls * POLL_USD + objects


def publish_units(counts: PaperCounts) -> int:
    """Publishes times the 64 KiB chunks of a publish of mean size."""
    if not counts.publishes:
        return 0
    return counts.publishes * max(1, -(-counts.published_bytes // (counts.publishes * CHUNK_BYTES)))


def paper_counts(calls: CallCounts, lambda_usage: Sequence[LambdaUsage]) -> PaperCounts:
    """One of our runs as the paper would have counted it; all invocations are taken to have the largest memory."""
    published = [calls.get(name, NONE) for name in ("sns:Publish", "sns:PublishBatch")]
    lists = _requests(calls, "s3.put", "List")
    return PaperCounts(
        invocations=len(lambda_usage),
        worker_seconds=sum(one.billed_ms for one in lambda_usage) / 1000,
        memory_mb=max((one.memory_mb for one in lambda_usage), default=0),
        publishes=sum(one.requests for one in published),
        published_bytes=sum(one.bytes for one in published),
        polls=calls.get("sqs:ReceiveMessage", NONE).requests,
        puts=_requests(calls, "s3.put") - lists,
        lists=lists,
        gets=_requests(calls, "s3.get"),
    )


def _requests(calls: CallCounts, price: str, prefix: str = "") -> int:
    wanted = (name for name in calls if price_name(name) == price and name.startswith(f"s3:{prefix}"))
    return sum(calls[name].requests for name in wanted)
