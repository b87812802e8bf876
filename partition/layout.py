"""Who does what, in one order for all ranks: sections of the graph on groups of ranks, and what goes between them.

Within a group the ranks are numbered from 0, and a section's inputs and outputs are whole on the first of them. What a
rank calls a value is its name in the graph and a suffix, which tells pieces of the batch apart. Data only: `emit`
writes it, `traffic` predicts from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from partition.choices import Choice
from partition.graph import Graph
from partition.schedule import Chain, Level
from partition.sparse.parts import chain_part
from partition.sparse.plan import ChainPlan


@dataclass(frozen=True, eq=False)
class Part:
    """A graph, or a stage of one, with its ops placed on a group of `workers` ranks."""

    graph: Graph
    choices: tuple[Choice, ...]
    levels: tuple[Level, ...]
    chains: Mapping[Chain, ChainPlan]
    workers: int

    @cached_property
    def length(self) -> int:
        """Instructions at most, the same on every rank."""
        after = [item for level in self.levels for item in level.after]
        chains = [len(chain_part(self.chains[item], 0).instructions) for item in after if isinstance(item, Chain)]
        return len(self.levels) + len(after) - len(chains) + sum(chains)


@dataclass(frozen=True, eq=False)
class Section:
    """A part, computed once.

    ranks:  rank i of the part is ranks[i].
    suffix: of the names of its values; `kept` are inputs with a suffix of their own.
    """

    part: Part
    ranks: tuple[int, ...]
    suffix: str = ""
    kept: Mapping[str, str] = field(default_factory=dict)

    def name(self, local: str) -> str:
        """What the program calls a value of the part's sub-graphs."""
        return local + self.kept.get(local, self.suffix)


@dataclass(frozen=True)
class Hop:
    """A whole value from one group to another.

    kind:  send: from root to the last of the group; else as the exchange of that name.
    axis:  that is scattered or gathered.
    value: its name in the graph; source, target: what the ranks call it before and after.
    """

    kind: Literal["broadcast", "gather", "scatter", "send"]
    value: str
    source: str
    target: str
    root: int
    group: tuple[int, ...]
    axis: int = 0


@dataclass(frozen=True)
class Cut:
    """A rank cuts a value into pieces along an axis, or joins them: `pieces` are their names."""

    value: str
    whole: str
    pieces: tuple[str, ...]
    rank: int
    axis: int
    joins: bool


Item = Section | Hop | Cut


@dataclass(frozen=True, eq=False)
class Layout:
    """All of it. graph: the whole one, for types of values."""

    graph: Graph
    items: tuple[Item, ...]
    workers: int

    @property
    def places(self) -> Mapping[Part, frozenset[tuple[int, ...]]]:
        """Every part once, and the groups that compute it: several of them share the samples."""
        found: dict[Part, set[tuple[int, ...]]] = {}
        for item in self.items:
            if isinstance(item, Section):
                found.setdefault(item.part, set()).add(item.ranks)
        return {part: frozenset(groups) for part, groups in found.items()}
