"""Calls of an exchange of which one rank hands on what all send, and when that is worth it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from costs import CallCount
from costs.exchanged import RELAY_S, Exchanged, channel_calls, relay_delay_s, relay_pays
from costs.planner import predict

KIB = 1 << 10
BOTH = ("object", "queue")
ALL = tuple(range(8))


def handed_on(nbytes: int) -> Exchanged:
    """Eight ranks send each other different rows, `nbytes` in all."""
    return Exchanged(ALL, ALL, nbytes, nbytes, 56, 1, relayed=BOTH)


def test_on_queues_seven_send_to_one_and_that_one_to_seven() -> None:
    calls = channel_calls("queue", "s3")(handed_on(56_000))
    assert calls == {
        "sqs:SendMessage": CallCount(7, 7, 56_000),
        "sns:Publish": CallCount(1, 1, 56_000),
        "sqs:ReceiveMessage": CallCount(8, 8, 112_000),  # seven messages in one, and one by each reader
        "sqs:DeleteMessageBatch": CallCount(2, 2),  # of 14 messages
    }


def test_all_of_it_counts_for_every_reader_in_chunks() -> None:
    calls = channel_calls("queue", "s3")(handed_on(100_000))
    assert calls["sns:Publish"].units == 2
    assert calls["sqs:SendMessage"] == CallCount(7, 7, 100_000)
    assert calls["sqs:ReceiveMessage"] == CallCount(8, 1 + 7 * 2, 200_000)


def test_more_senders_than_a_receive_brings_take_another() -> None:
    ranks = tuple(range(62))
    calls = channel_calls("queue", "s3")(Exchanged(ranks, ranks, 38_000, 38_000, 62 * 61, 1, relayed=BOTH))
    assert calls["sqs:SendMessage"].requests == 61
    assert calls["sqs:ReceiveMessage"].requests == 7 + 61
    assert calls["sqs:DeleteMessageBatch"].requests == 13  # of 122 messages


def test_few_readers_get_what_many_have() -> None:
    calls = channel_calls("queue", "s3")(Exchanged(ALL, (6, 7), 8_000, 8_000, 13, 1, relayed=BOTH))
    assert [calls[name].requests for name in ("sqs:SendMessage", "sns:Publish", "sqs:ReceiveMessage")] == [7, 1, 2]


@pytest.mark.parametrize("store", ["s3", "s3express"])
def test_as_objects_each_reader_asks_for_what_the_relay_puts_instead_of_its_own(store: str) -> None:
    calls = channel_calls("object", store)(handed_on(56_000))
    assert calls[f"{store}:PutObject"] == CallCount(8, 8, 2 * 56_000)
    assert calls[f"{store}:GetObject"] == CallCount(14 + 8, 14 + 8, 56_000)  # and a miss for each reader
    direct = channel_calls("object", store)(replace(handed_on(56_000), relayed=()))
    assert direct[f"{store}:PutObject"] == CallCount(8, 8, 56_000)
    assert direct[f"{store}:GetObject"] == CallCount(56 + 8, 56 + 8, 56_000)


@pytest.mark.parametrize(("channel", "most"), [("queue", 8 * 32 * KIB), ("object", 8 * 128 * KIB)])
def test_what_is_large_goes_as_without_a_relay(channel: str, most: int) -> None:
    calls = channel_calls(channel, "s3")
    assert handed_on(most).is_handed_on(channel)
    assert calls(handed_on(most)) != calls(replace(handed_on(most), relayed=()))
    assert not handed_on(most + 1).is_handed_on(channel)
    assert calls(handed_on(most + 1)) == calls(replace(handed_on(most + 1), relayed=()))
    assert not replace(handed_on(8), relayed=()).is_handed_on(channel)


@pytest.mark.parametrize(("channel", "kind"), [("queue", "queue"), ("object", "object"), ("hybrid", "queue")])
def test_all_go_on_later_where_a_rank_hands_on(channel: str, kind: str) -> None:
    steps = handed_on(8_000), replace(handed_on(8_000), relayed=()), handed_on(16 << 20)
    assert [relay_delay_s(step, channel) for step in steps] == [RELAY_S[kind], 0.0, 0.0]
    relayed, direct = (predict([step], 8, channel, 1024).seconds for step in steps[:2])
    assert relayed - direct == pytest.approx(RELAY_S[kind])


@pytest.mark.parametrize(("ranks", "on"), [(8, ("object",)), (16, BOTH), (62, BOTH)])
def test_it_pays_where_many_send_to_many(ranks: int, on: tuple[str, ...]) -> None:
    assert relay_pays(ranks, ranks, ranks * (ranks - 1)) == on


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_it_does_not_where_few_do(ranks: int) -> None:
    assert not relay_pays(ranks, ranks, ranks * (ranks - 1))


@pytest.mark.parametrize(
    ("senders", "readers", "messages"),
    [(8, 8, 8), (62, 62, 62), (8, 8, 16), (62, 62, 124), (1, 7, 7), (7, 1, 7), (61, 1, 61), (0, 0, 0)],
    ids=["ring", "long ring", "halo", "long halo", "one to all", "all to one", "many to one", "nothing"],
)
def test_it_does_not_where_each_has_few_partners(senders: int, readers: int, messages: int) -> None:
    assert not relay_pays(senders, readers, messages)
