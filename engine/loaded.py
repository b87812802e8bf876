"""One rank in memory: its program, its weights, and what kernels built from them. Reused by every warm run."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.errors import ProgramError
from engine.program import Exchange, Program
from engine.row_maps import RowMaps, row_maps

if TYPE_CHECKING:
    from engine.sessions import Session

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class LoadedRank:
    """Everything that a machine needs to run one rank.

    weights:  tensors of the shard by name; read-only views.
    sessions: onnxruntime sessions by sub-graph asset.
    outputs:  names of the graph's outputs.
    """

    program: Program
    weights: Mapping[str, NDArray[np.generic]]
    sessions: Mapping[str, Session] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    _prepared: dict[Hashable, Any] = field(default_factory=dict)

    def weight(self, name: str) -> NDArray[np.generic]:
        """A tensor of the shard.

        Raises:
            ProgramError: if there is none of that name.
        """
        if name not in self.weights:
            raise ProgramError(f"rank {self.program.rank}: tensor {name!r} is not in the shard")
        return self.weights[name]

    def session(self, graph: str) -> Session:
        """The session of a sub-graph.

        Raises:
            ProgramError: if the program's rank has no such sub-graph.
        """
        if graph not in self.sessions:
            raise ProgramError(f"rank {self.program.rank}: sub-graph {graph!r} is not among its assets")
        return self.sessions[graph]

    def prepared(self, key: Hashable, build: Callable[[], T]) -> T:
        """An object that a kernel builds from the weights once, and every later run uses again."""
        if key not in self._prepared:
            self._prepared[key] = build()
        value: T = self._prepared[key]
        return value

    def maps(self, exchange: Exchange) -> RowMaps | None:
        """The checked index maps of an exchange of kind "rows"; None for the other kinds."""
        if exchange.kind != "rows":
            return None
        return self.prepared(("maps", exchange.step), lambda: row_maps(exchange, self.weights))
