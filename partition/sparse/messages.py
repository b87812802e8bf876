"""What the ranks send each other at one boundary: to each what it reads, or one message for all that need any of it.

A channel takes a message that is the same for several ranks as one. That costs the receivers rows they do not read,
and saves the sender most of its bytes: copies of a row, which a layer of few distinct neurons has many of, compress.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from partition.sparse.assignment import Owned
from partition.sparse.closure import Marks
from partition.sparse.estimate import Assumed, Sent
from partition.sparse.weights import Rows


@dataclass(frozen=True, eq=False)
class Boundary:
    """Rows before a layer.

    number: of that layer in its chain.
    held:   by rank, rows that it has; every row once.
    wanted: by rank, rows that it reads.
    kinds:  [n] rows of one number are equal, or nearly always.
    """

    number: int
    held: Owned
    wanted: Owned
    kinds: Rows


@dataclass(frozen=True, eq=False)
class Outgoing:
    """What one rank has for the others.

    rows:  [r] its rows, those of one kind side by side.
    wants: [P, r] who reads them; nobody itself.
    kinds: [P, k] which of its kinds of row each rank reads any of.
    """

    rows: Rows
    wants: Marks
    kinds: Marks

    @property
    def each(self) -> Sent:
        """A message for each rank that reads any, with the rows that it reads."""
        targets = int(self.kinds.any(axis=1).sum())
        return Sent(targets, int(self.wants.sum()), int(self.kinds.sum()))

    @property
    def same(self) -> Sent:
        """One message with every row that anybody reads."""
        readers = int(self.kinds.any(axis=1).sum())
        return Sent(1, int(self.wants.any(axis=0).sum()), int(self.kinds.any(axis=0).sum()), readers)

    @property
    def is_same(self) -> bool:
        """Whether all that get a message get the same one."""
        reading = self.wants[self.wants.any(axis=1)]
        return bool((reading == reading[:1]).all())


def outgoing(boundary: Boundary) -> Iterator[Outgoing]:
    """By rank."""
    wants = np.zeros((len(boundary.held), boundary.kinds.size), np.bool_)
    for rank, rows in enumerate(boundary.wanted):
        wants[rank, rows] = True
    for rank, held in enumerate(boundary.held):
        rows = held[np.argsort(boundary.kinds[held], kind="stable")]
        mine = wants[:, rows]
        mine[rank] = False
        starts = np.flatnonzero(np.diff(boundary.kinds[rows], prepend=-1))
        yield Outgoing(rows, mine, np.logical_or.reduceat(mine, starts, axis=1) if rows.size else mine)


def widened(boundary: Boundary, assumed: Assumed) -> Owned:
    """By rank, the rows that it gets: those that it reads, and others where one message for all is cheaper."""
    got = np.zeros((len(boundary.held), boundary.kinds.size), np.bool_)
    for rank, rows in enumerate(boundary.wanted):
        got[rank, rows] = True
    for sent in outgoing(boundary):
        if _same_is_cheaper(boundary.number, sent, assumed):
            union = sent.rows[sent.wants.any(axis=0)]
            got[np.ix_(sent.wants.any(axis=1), union)] = True
    return tuple(np.flatnonzero(mine).astype(np.int32) for mine in got)


def _same_is_cheaper(number: int, sent: Outgoing, assumed: Assumed) -> bool:
    each, same, targets = sent.each, sent.same, sent.each.messages
    if targets < 2:
        return False
    all_get_it = Sent(targets, targets * same.rows, targets * same.distinct)
    return assumed.message_usd(number, same, all_get_it) < assumed.message_usd(number, each, each)


def exchanged(boundary: Boundary) -> tuple[list[Sent], list[Sent]]:
    """By rank, what it sends (an equal message counts once) and what it receives."""
    parts = list(outgoing(boundary))
    sent = [part.same if part.each.messages and part.is_same else part.each for part in parts]
    messages = np.array([part.wants.any(axis=1) for part in parts]).sum(axis=0)
    rows = np.array([part.wants.sum(axis=1) for part in parts]).sum(axis=0)
    distinct = np.array([part.kinds.sum(axis=1) for part in parts]).sum(axis=0)
    return sent, [Sent(*map(float, one)) for one in zip(messages, rows, distinct, strict=True)]


def in_order(kinds: Rows) -> NDArray[np.int64]:
    """[n] the place of each row if those of one kind stand side by side: copies compress best then."""
    place = np.empty(kinds.size, np.int64)
    place[np.argsort(kinds, kind="stable")] = np.arange(kinds.size)
    return place
