"""Which direction of a bidirectional recurrent cell a rank computes: its attributes, as they are of that one alone."""

from __future__ import annotations

import onnx

from engine.split import split_bounds

_NAMES = (b"forward", b"reverse")


def turn(node: onnx.NodeProto, rank: int, workers: int) -> None:
    """Make a bidirectional cell the one of this rank; its activations are listed by direction."""
    ((at, _),) = split_bounds(len(_NAMES), workers)[rank : rank + 1]
    for attribute in node.attribute:
        if attribute.name == "direction":
            attribute.s = _NAMES[at]
        elif attribute.name == "activations":
            count = len(attribute.strings) // len(_NAMES)
            attribute.strings[:] = attribute.strings[at * count : (at + 1) * count]
