"""A claim ticket: a message's payload that says where the real one lies. Its frame is signed, so what it says is.

Which payloads are worth that is a question of price: an object costs a PUT for all and a GET for each reader, a message
so many units of 64 KiB when it is sent, to a topic or to the queue of its only reader, and again for each reader.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from channels.errors import CodecError
from channels.varint import pack_uints, read_uints
from costs.limits import SNS_BILLING_CHUNK
from costs.prices import PRICES, object_service

TICKET = 4  # beside the kinds of payloads in channels.codec
TOKEN_BYTES = 8
DIGEST_BYTES = 16

Group = tuple[Sequence[int], bytes]  # slots, payload


@dataclass(frozen=True)
class Ticket:
    """Where a payload is: bytes [start, start + size) of an object, and their digest.

    token: names the object; random, so that no two processes of a slot write the same.
    """

    token: bytes
    start: int
    size: int
    digest: bytes

    @property
    def name(self) -> str:
        """Name of the object, below the exchange's prefix."""
        return self.token.hex()


def write_tickets(payloads: Sequence[bytes]) -> list[Ticket]:
    """Tickets for payloads that lie in one object, one after the other."""
    token, start, tickets = secrets.token_bytes(TOKEN_BYTES), 0, []
    for payload in payloads:
        tickets.append(Ticket(token, start, len(payload), _digest(payload)))
        start += len(payload)
    return tickets


def pack_ticket(ticket: Ticket) -> bytes:
    """Return the payload that says where the payload is."""
    return pack_uints((TICKET, ticket.start, ticket.size)) + ticket.token + ticket.digest


def is_ticket(payload: bytes | memoryview) -> bool:
    """Whether a payload is a ticket."""
    return payload[0] == TICKET


def read_ticket(payload: bytes | memoryview, max_bytes: int) -> Ticket:
    """Read a ticket for at most `max_bytes`.

    Raises:
        CodecError: if it is none, or for more.
    """
    try:
        (_, start, size), at = read_uints(payload, 0, 3)
    except ValueError as error:
        raise CodecError(f"ticket: {error}") from error
    token, digest = bytes(payload[at : at + TOKEN_BYTES]), bytes(payload[at + TOKEN_BYTES :])
    if len(digest) != DIGEST_BYTES or size > max_bytes:
        raise CodecError(f"ticket: expected one for at most {max_bytes} bytes, got {size}")
    return Ticket(token, start, size, digest)


def check_claimed(ticket: Ticket, payload: bytes) -> None:
    """Hold what an object had against its ticket.

    Raises:
        CodecError: if it is something else.
    """
    if len(payload) != ticket.size or _digest(payload) != ticket.digest:
        raise CodecError(f"object {ticket.name}: expected the {ticket.size} bytes of its ticket, got {len(payload)}")


def _digest(payload: bytes) -> bytes:
    return blake2b(payload, digest_size=DIGEST_BYTES).digest()


def worth_an_object(groups: Sequence[Group], bucket: str) -> list[int]:
    """Places of the groups that are cheaper as parts of one object than as messages; none if no object is worth it.

    bucket: where the object would be: S3 Express One Zone has prices of its own.
    """
    store = object_service(bucket)
    gains = sorted(
        ((_message_usd(group) - _claim_usd(group, store), i) for i, group in enumerate(groups)), reverse=True
    )
    chosen = [(gain, i) for gain, i in gains if gain > 0]
    return [i for _, i in chosen] if sum(gain for gain, _ in chosen) > PRICES[f"{store}.put"].usd else []


def _message_usd(group: Group) -> float:
    slots, payload = group
    return -(-len(payload) // SNS_BILLING_CHUNK.value) * _unit_usd(slots)


def _unit_usd(slots: Sequence[int]) -> float:
    """Sent and received; what one slot reads goes to its queue directly."""
    sent = PRICES["sns.request"].usd if len(slots) > 1 else PRICES["sqs.request"].usd
    return sent + len(slots) * PRICES["sqs.request"].usd


def _claim_usd(group: Group, store: str) -> float:
    """Its bytes in an object, where bytes have a price, and a ticket, which is a message nevertheless."""
    slots, payload = group
    size_gb = len(payload) / (1 << 30)
    get = PRICES[f"{store}.get"].usd + size_gb * _gb_usd(store, "retrieved")
    return size_gb * _gb_usd(store, "uploaded") + len(slots) * get + _unit_usd(slots)


def _gb_usd(store: str, way: str) -> float:
    price = PRICES.get(f"{store}.{way}_gb")
    return 0.0 if price is None else price.usd
