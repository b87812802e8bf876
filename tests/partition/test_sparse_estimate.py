"""What an exchange of rows is expected to cost, by hand: through the topic, or to its only reader's queue."""

from __future__ import annotations

import numpy as np
import pytest

from channels.publish import plan_requests
from channels.tags import Tag
from channels.transport import Key, Outgoing
from partition.sparse.assignment import contiguous
from partition.sparse.estimate import Assumed, Sent
from partition.sparse.messages import Boundary, outgoing

DEEP = 99  # a boundary at which a row has 200 bytes
NOTHING = Sent(0, 0, 0)
RECEIVED = Sent(1, 10, 10)
RECEIVED_USD = 2 * 4e-7 + 10 * 5e-10  # receive, delete, and placing ten rows


@pytest.mark.parametrize(
    ("sent", "usd"),
    [
        (Sent(1, 10, 10), 4e-7),
        (Sent(1, 10, 10, readers=2), 5e-7 + 2000 * 0.09e-9),
        (Sent(3, 30, 30), 5e-7 + 6000 * 0.09e-9),  # three small messages are one batch: 5e-7 < 3 * 4e-7
        (Sent(3, 3000, 3000), 600_000 / 65_536 * 4e-7),  # three large ones are not: each goes to its queue
        (Sent(1, 3000, 3000, readers=2), 600_000 / 65_536 * 5e-7 + 600_000 * 0.09e-9),
    ],
)
def test_what_one_rank_reads_is_priced_as_sent_to_its_queue(sent: Sent, usd: float) -> None:
    assert Assumed().exchange_usd(DEEP, sent, RECEIVED) == pytest.approx(usd + RECEIVED_USD)
    assert Assumed().message_usd(DEEP, sent, NOTHING) == pytest.approx(usd)


@pytest.mark.parametrize("readers", [1, 2, 7])
def test_a_message_is_priced_as_the_queue_channel_sends_it(readers: int) -> None:
    row = bytes(200)
    [request] = plan_requests([Outgoing(Key(0, slot, Tag(0)), row) for slot in range(1, readers + 1)])
    topic_usd = 0 if readers == 1 else 200 * 0.09e-9
    found = Assumed().message_usd(DEEP, Sent(1, 1, 1, readers), NOTHING)
    assert found == pytest.approx(request.usd + topic_usd)


@pytest.mark.parametrize("workers", [2, 4])
def test_one_message_for_all_is_for_as_many_as_read_it(workers: int) -> None:
    everything = (np.arange(64, dtype=np.int32),) * workers
    parts = outgoing(Boundary(DEEP, contiguous(64, workers), everything, np.arange(64, dtype=np.int32)))
    assert [part.same.readers for part in parts] == [workers - 1] * workers
