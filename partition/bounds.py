"""What a graph may make of little: a kilobyte of file can ask for a terabyte, so sizes are looked at before memory."""

from __future__ import annotations

import math

from partition.errors import UnsupportedModelError
from partition.graph import Graph

# The most that one value may take whose size the model fixes: the memory of the largest Lambda function, 10,240 MB
# (docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html, 2025).
MAX_VALUE_BYTES = 10 << 30
# The most that values computed from weights alone may take together: twice what one ONNX file can store itself. They
# are computed whenever a session is built.
MAX_COMPUTED_BYTES = 4 << 30


def check_sizes(graph: Graph) -> None:
    """Refuse values that no function could hold.

    Raises:
        UnsupportedModelError: naming the first of them.
    """
    computed = 0
    for name in (*graph.inputs, *(output for op in graph.ops for output in op.outputs if output)):
        nbytes = _fixed_bytes(graph, name)
        computed += nbytes if name in graph.constant_names else 0
        if nbytes > MAX_VALUE_BYTES:
            raise UnsupportedModelError(f"value {name!r}: expected at most {MAX_VALUE_BYTES} bytes, got {nbytes}")
        if computed > MAX_COMPUTED_BYTES:
            raise UnsupportedModelError(
                f"value {name!r}: expected at most {MAX_COMPUTED_BYTES} bytes computed of weights alone, got {computed}"
            )


def _fixed_bytes(graph: Graph, name: str) -> int:
    """Bytes of a value, with 1 for every size that the request chooses."""
    value = graph.values[name]
    return value.cargo.item_bytes * math.prod(dim for dim in value.shape or () if isinstance(dim, int))
