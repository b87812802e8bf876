"""What the search keeps: states, how they come about, and what an op's ways of being computed pay."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from partition.choices import Choice
from partition.placement import Placement
from partition.states import Held

_MANY_SLOTS = 64
Numbers = NDArray[np.int64]

# How a state came about: the choice of the last op, and the trail before it. States themselves are not kept.
Trail = tuple["Trail", Choice] | None


class State:
    """cost: up to here, and ahead: what is sure to be added; held: by slot; numbers: the same as numbers.

    mark: the sum that tells held apart.
    """

    __slots__ = ("ahead", "cost", "held", "mark", "numbers", "trail")

    def __init__(
        self, cost: float, ahead: float, mark: int, held: list[Held], numbers: Numbers | None, trail: Trail
    ) -> None:
        self.cost, self.ahead, self.mark, self.held, self.numbers, self.trail = cost, ahead, mark, held, numbers, trail

    def widen(self, size: int, nothing: Held) -> None:
        """Have so many slots. Where there are many, states are compared by numbers, as numpy does that at once."""
        self.held.extend([nothing] * (size - len(self.held)))
        if self.numbers is None and size > _MANY_SLOTS:
            self.numbers = np.array([now.number for now in self.held])
        elif self.numbers is not None and size > self.numbers.size:
            self.numbers = np.append(self.numbers, np.zeros(size, np.int64))  # twice as many: seldom again

    def differs(self, other: State) -> Iterable[int]:
        """The slots in which they hold something else."""
        if self.numbers is not None and other.numbers is not None:
            size = len(self.held)
            apart: list[int] = np.flatnonzero(self.numbers[:size] != other.numbers[:size]).tolist()
            return apart
        return [slot for slot, (a, b) in enumerate(zip(self.held, other.held, strict=True)) if a is not b]


class New:
    """A state that is not written out yet: its parent's, with some slots changed. Several may share their changes."""

    __slots__ = ("ahead", "changes", "choice", "cost", "mark", "parent")

    def __init__(
        self, cost: float, ahead: float, mark: int, parent: State, choice: Choice, changes: Mapping[int, Held]
    ) -> None:
        self.cost, self.ahead, self.mark, self.parent, self.choice = cost, ahead, mark, parent, choice
        self.changes = changes

    def state(self) -> State:
        """The state itself."""
        held, numbers = self.parent.held.copy(), self.parent.numbers
        for slot, now in self.changes.items():
            held[slot] = now
        if numbers is not None:
            numbers = numbers.copy()
            numbers[list(self.changes)] = [now.number for now in self.changes.values()]
        return State(self.cost, self.ahead, self.mark, held, numbers, (self.parent.trail, self.choice))


@dataclass(frozen=True)
class Way:
    """A choice with all that does not depend on the state.

    fixed:   its price, without moves.
    needs:   (position among what the op reads, wanted placement).
    outputs: what is held of each then.
    """

    choice: Choice
    fixed: float
    needs: tuple[tuple[int, Placement], ...]
    outputs: tuple[Held, ...]


@dataclass(frozen=True, eq=False)
class Ways:
    """All ways of an op, and of those that are alike.

    routes: what was found out about (position, held, wanted).
    least:  of (position, held), what the cheapest way pays to have that value where it needs it.
    """

    ways: tuple[Way, ...]
    routes: dict[tuple[int, Held, int], tuple[float, Held] | None]
    least: dict[tuple[int, Held], float] = field(default_factory=dict)


@dataclass
class Reads:
    """What an op reads, by position: names, and their slots, -1 = none."""

    names: tuple[str, ...]
    ways: Ways
    slots: Sequence[int] = ()


@dataclass(frozen=True)
class Outcome:
    """What becomes of all states that hold the same in the slots that an op touches, if it is computed in one way.

    costs:   that are added one by one; ahead: what is sure to be added then.
    mark:    what is added to the sum that tells states apart.
    changes: what the slots hold then.
    """

    choice: Choice
    costs: tuple[float, ...]
    ahead: float
    mark: int
    changes: Mapping[int, Held]


@dataclass(frozen=True)
class Prospect:
    """Of the states that hold the same where an op touches them. due: what they were sure to pay for its inputs."""

    due: float
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True)
class Step:
    """An op's turn.

    read:  the slots of what it reads, each once.
    due:   (slot, position) of what is read.
    gone:  slots of what is read for the last time.
    made:  (slot, position) of outputs that are read later.
    next:  of what is read or made and stays: (slot, who reads it next, position there).
    """

    reads: Reads
    read: tuple[int, ...]
    due: tuple[tuple[int, int], ...]
    gone: tuple[int, ...]
    made: tuple[tuple[int, int], ...]
    next: tuple[tuple[int, Reads, int], ...]

    @property
    def kind(self) -> Hashable:
        """Turns of one kind have the same outcomes."""
        ahead = tuple((slot, id(reader.ways), position) for slot, reader, position in self.next)
        return id(self.reads.ways), tuple(self.reads.slots), self.due, self.gone, self.made, ahead

    @property
    def touched(self) -> list[int]:
        """The slots whose content may change, in order."""
        return sorted({*self.read, *self.gone, *(slot for slot, _ in self.made)})
