"""How AWS counts a request: the billed units of one HTTP attempt, and which price an operation has.

SQS: every action is a request; each 64 KiB chunk of its payload is one billed request, at least one. A batch of up to
10 messages is one payload; a receive that finds nothing is one request (https://aws.amazon.com/sqs/pricing/).
SNS: each 64 KiB chunk of published data is one request (https://aws.amazon.com/sns/pricing/); a batch of up to 10
messages costs what a single publish costs
(https://docs.aws.amazon.com/sns/latest/dg/sns-batch-api-actions.html), so its total is one payload too.
S3, One Zone as "s3express": one per request; 4xx answers are charged, 5xx answers are not
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/ErrorCodeBilling.html).
Lambda: the call itself is free, the started invocation is charged.
Where AWS does not say (SNS and SQS attempts that were throttled, failed or never answered), the attempt is counted.
"""

from __future__ import annotations

from costs.errors import UnknownPriceError
from costs.limits import SNS_BILLING_CHUNK, SQS_BILLING_CHUNK

_CHUNKS = {"sns": SNS_BILLING_CHUNK.value, "sqs": SQS_BILLING_CHUNK.value}
_S3_FREE = ("Abort", "Delete")
_S3_DEAR = ("Complete", "Copy", "Create", "List", "Put", "Restore", "Upload")
_SESSION = "CreateSession"  # GET ?session, by the SDK, for a directory bucket
_S3 = ("s3", "s3express")
_PRICE_OF_SERVICE = {"lambda": "", "sns": "sns.request", "sqs": "sqs.request"}
NO_ANSWER = 0


def billed_units(operation: str, payload_bytes: int, status: int = NO_ANSWER) -> int:
    """Billed units of one attempt at "service:Operation".

    payload_bytes: bytes of the messages that it carries in either direction, all messages of a batch together.
    status:        HTTP status of the answer; NO_ANSWER when there was none.
    """
    service = operation.partition(":")[0]
    if service in _S3:
        return 0 if status >= 500 else 1
    chunk = _CHUNKS.get(service)
    return max(1, -(-payload_bytes // chunk)) if chunk else 1


def price_name(operation: str) -> str:
    """Name in the price table of one unit of "service:Operation"; empty where the call itself is free.

    Raises:
        UnknownPriceError: the service has no pricing rule.
    """
    service, _, action = operation.partition(":")
    if service in _S3:
        return _s3_price_name(service, action)
    if service not in _PRICE_OF_SERVICE:
        known = sorted([*_PRICE_OF_SERVICE, "s3"])
        raise UnknownPriceError(f"bill: no pricing rule for operation {operation!r}; services with one: {known}")
    return _PRICE_OF_SERVICE[service]


def _s3_price_name(service: str, action: str) -> str:
    if action.startswith(_S3_FREE):
        return "s3.delete"
    return f"{service}.put" if action.startswith(_S3_DEAR) and action != _SESSION else f"{service}.get"


def transfer_price_name(operation: str) -> str:
    """Name in the price table of a GB that "service:Operation" moves; empty where bytes cost nothing."""
    return {"s3express:PutObject": "s3express.uploaded_gb", "s3express:GetObject": "s3express.retrieved_gb"}.get(
        operation, ""
    )
