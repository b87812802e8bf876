"""The MIT Graph Challenge's sparse networks; a card per size: `GraphChallenge(4096)` is all that another one takes."""

from __future__ import annotations

from zoo.graphchallenge.card import GraphChallenge, Options

__all__ = [
    "GraphChallenge",
    "Options",
    "graphchallenge_1024",
    "graphchallenge_4096",
    "graphchallenge_16384",
    "graphchallenge_65536",
]

graphchallenge_1024 = GraphChallenge(1024)
graphchallenge_4096 = GraphChallenge(4096)
graphchallenge_16384 = GraphChallenge(16384)
graphchallenge_65536 = GraphChallenge(65536)
