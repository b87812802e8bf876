"""What is particular to the hybrid channel: what goes where, tickets, and what is left behind."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from channels.config import ChannelConfig
from channels.errors import CodecError
from channels.hybrid import HybridChannel, HybridSettings
from channels.queue import QueueSettings
from channels.tags import Tag
from channels.ticket import check_claimed, is_ticket, pack_ticket, read_ticket, worth_an_object, write_tickets
from tests.channels.conftest import Clients

pytestmark = pytest.mark.timeout(60)
KEY = b"0123456789abcdef"
KIB = 1 << 10


@pytest.mark.parametrize(
    ("groups", "chosen"),
    [
        ([([1], 300)], []),
        ([([1], 300 * KIB)], []),
        ([([1], 500 * KIB)], [0]),
        ([([1, 2, 3, 4, 5, 6, 7], 120 * KIB)], []),
        ([([1, 2, 3, 4, 5, 6, 7], 300 * KIB)], [0]),
        ([([slot], 190 * KIB) for slot in range(7)], list(range(7))),
        ([([1], 900 * KIB), ([2], 100), ([3], 60 * KIB)], [0]),
    ],
)
def test_an_object_is_for_what_is_cheaper_there(groups: list[tuple[list[int], int]], chosen: list[int]) -> None:
    assert sorted(worth_an_object([(slots, bytes(size)) for slots, size in groups], "bucket")) == chosen


@pytest.mark.parametrize(
    ("groups", "chosen"),
    [
        ([([1], 190 * KIB)], []),  # (3 - 1) * 8e-7 < 1.13e-6 + 3e-8 + 190 KiB * 0.0038 USD per GB = 1.85e-6
        ([([1], 200 * KIB)], [0]),  # (4 - 1) * 8e-7 > 1.88e-6
        ([([1, 2, 3, 4, 5, 6, 7], 60 * KIB)], []),
        (
            [([1, 2, 3, 4, 5, 6, 7], 70 * KIB)],
            [0],
        ),  # 3.3e-6 > 1.13e-6 + 7 * 3e-8 + 70 KiB * 0.0074 USD per GB = 1.83e-6
    ],
)
def test_one_zone_is_worth_it_earlier(groups: list[tuple[list[int], int]], chosen: list[int]) -> None:
    assert worth_an_object([(slots, bytes(size)) for slots, size in groups], "exchange--use1-az4--x-s3") == chosen


def test_a_ticket_comes_back_and_holds_its_payload_to_its_digest() -> None:
    first, second = write_tickets([b"abc", b"defg"])
    got = read_ticket(pack_ticket(second), 4)
    assert got == second
    assert is_ticket(pack_ticket(first))
    check_claimed(got, b"defg")
    for wrong in (b"", b"defh", b"defgh"):
        with pytest.raises(CodecError, match="the 4 bytes of its ticket"):
            check_claimed(got, wrong)


@pytest.mark.parametrize("cut", [0, 1, 3, 12, 26])
def test_what_is_no_ticket_is_refused(cut: int) -> None:
    [ticket] = write_tickets([b"abc"])
    with pytest.raises(CodecError, match="ticket"):
        read_ticket(pack_ticket(ticket)[:cut], 100)
    with pytest.raises(CodecError, match="at most 2 bytes, got 3"):
        read_ticket(pack_ticket(ticket), 2)


def test_large_payloads_share_an_object_small_ones_take_none_and_cleaning_up_leaves_nothing(
    cloud: Clients, lane: QueueSettings, bucket: str
) -> None:
    me = ChannelConfig("ab" * 16, 0, 1 << 41, 0, 3, KEY, time.monotonic() + 20, poll_s=0.05)
    settings = HybridSettings(lane, bucket, f"runs/{me.run_id}/x/")
    ends = [
        HybridChannel(replace(me, slot=slot), settings, sns=cloud.sns, sqs=cloud.sqs, s3=cloud.s3) for slot in range(3)
    ]
    noise = np.random.default_rng(0).random((3, 100_000))
    ends[0].send_many([(1, Tag(1), noise[1]), (2, Tag(1), noise[2]), (1, Tag(2), noise[0, :9])])
    for slot in (1, 2):
        assert np.array_equal(np.asarray(ends[slot].recv(0, Tag(1))), noise[slot])
    assert np.array_equal(np.asarray(ends[1].recv(0, Tag(2))), noise[0, :9])
    assert len(cloud.s3.list_objects_v2(Bucket=bucket, Prefix=settings.prefix)["Contents"]) == 1
    ends[0].cleanup()
    assert "Contents" not in cloud.s3.list_objects_v2(Bucket=bucket, Prefix=settings.prefix)
    for end in ends:
        end.close()
