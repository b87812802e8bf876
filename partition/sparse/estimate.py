"""What an exchange of rows is expected to cost, for choosing ownership: US dollars on the queue channel.

Bytes from SNS to SQS count, although AWS may not charge them: of two ways with equally many requests, the smaller one.
What one rank reads does not go through SNS.

How many samples will be alive, and how well rows compress, is not known when a model is compiled. Assumed is what was
measured on the Graph Challenge networks with 10,000 samples; a wrong guess costs money, never the answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from costs.limits import SNS_BATCH, SQS_BATCH, SQS_BILLING_CHUNK
from costs.prices import PRICES

_PUBLISH_USD = PRICES["sns.request"].usd
_SEND_USD = _RECEIVE_USD = PRICES["sqs.request"].usd
_BYTE_USD = PRICES["sns.to_sqs_byte"].usd


@dataclass(frozen=True)
class Sent:
    """Rows in messages.

    distinct: rows without copies of others in the same message, over all messages.
    readers:  ranks that get a message, where somebody sends it.
    """

    messages: float
    rows: float
    distinct: float
    readers: float = 1.0


@dataclass(frozen=True)
class Assumed:
    """What is taken for granted.

    row_bytes:   of a row on the wire, once few samples are alive; a copy of it in the same message counts nothing.
    first:       how much larger a row is at the chain's input; halves from layer to layer down to 1.
    row_usd:     decoding and placing a received row, copies too: 1.4 kB at 0.15 GB/s and 3 GB of memory.
    multiply_usd: a stored weight of a layer, for all samples: 337 at 1 GHz and 1 GB.
    """

    row_bytes: float = 200.0
    first: float = 32.0
    row_usd: float = 5e-10
    multiply_usd: float = 5.6e-12

    def bytes_of_row(self, boundary: int) -> float:
        """A row before layer `boundary` of the chain."""
        return self.row_bytes * max(1.0, self.first / 2.0 ** min(boundary, 64))

    def exchange_usd(self, boundary: int, sent: Sent, received: Sent) -> float:
        """One rank's part of an exchange: what it publishes, what it receives and deletes."""
        row = self.bytes_of_row(boundary)
        receive = _units(received.messages / SQS_BATCH.value, received.distinct * row)
        delete = _units(received.messages / SQS_BATCH.value, 0)
        return _publish_usd(sent, row) + (receive + delete) * _RECEIVE_USD + received.rows * self.row_usd

    def message_usd(self, boundary: int, sent: Sent, received: Sent) -> float:
        """What a rank sends, and what its messages add to the requests of those that receive them."""
        row = self.bytes_of_row(boundary)
        share = received.distinct * row / SQS_BILLING_CHUNK.value
        return _publish_usd(sent, row) + share * _RECEIVE_USD + received.rows * self.row_usd


def _publish_usd(sent: Sent, row_bytes: float) -> float:
    """By the topic, or to the queue of each reader where these requests cost less, as channels.publish does."""
    size = sent.distinct * row_bytes
    topic = _units(sent.messages / SNS_BATCH.value, size) * _PUBLISH_USD
    direct = sent.readers * _units(sent.messages, size) * _SEND_USD
    return direct if direct < topic else topic + size * _BYTE_USD


def _units(batches: float, size_bytes: float) -> float:
    """Requests as billed; fractions stay, as the figures are means over ranks."""
    return max(1.0, batches, size_bytes / SQS_BILLING_CHUNK.value) if batches else 0.0  # SNS has the same chunk
