"""What a layout's run will take: its computation by rank, from rules and sizes, and its exchanges, priced by costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from costs.exchanged import Exchanged
from costs.planner import LATENCY_S, Computed, Prediction, predict
from partition.held import layout_bytes
from partition.layout import Layout, Part, Section
from partition.traffic import Sent, Shape, traffic
from partition.work import work_by_rank

# One vCPU: onnxruntime's float32 products, and how fast weights are read from memory. Assumed, not measured on Lambda.
MULTIPLICATIONS_PER_S = 2e10
WEIGHT_BYTES_PER_S = 8e9
MEMORY_MB = 3008  # of the functions, unless the stage parameter `memory` says otherwise
_ROOT_SENDS = frozenset({"broadcast", "scatter"})
_ROOT_RECEIVES = frozenset({"gather", "reduce"})
_SAME_FOR_ALL = frozenset({"all_gather", "all_reduce", "broadcast"})


def forecast(
    layout: Layout,
    channel: str,
    shapes: Mapping[str, Shape] | None = None,
    sizes: Mapping[str, int] | None = None,
    memory_mb: int = MEMORY_MB,
    express: bool = False,
) -> Prediction:
    """Seconds, calls and US dollars of a warm request.

    shapes, sizes: as partition.traffic.
    express: whether ranks exchange objects in S3 Express One Zone.
    """
    sent = traffic(layout, shapes or {}, sizes or {})
    steps = _steps(layout, sent, seconds_by_part(layout))
    return predict(steps, layout.workers, channel, memory_mb, express=express)


def forecast_all(
    layout: Layout, shapes: Mapping[str, Shape], busy: Mapping[Part, Sequence[float]]
) -> Iterator[tuple[Prediction, Prediction]]:
    """The same for every channel, with these input shapes: with objects in S3, and in S3 Express One Zone.

    busy: what seconds_by_part says of the layout.
    """
    steps = tuple(_steps(layout, traffic(layout, shapes, {}), busy))
    for channel in sorted(LATENCY_S):
        plain, express = (predict(steps, layout.workers, channel, MEMORY_MB, express=zone) for zone in (False, True))
        yield plain, express


def seconds_by_part(layout: Layout) -> Mapping[Part, Sequence[float]]:
    """Seconds that each rank of a part computes for a request of the sizes to expect."""
    return {part: _seconds(part) for part in layout.places}


def _steps(
    layout: Layout, sent: Iterable[Sent], busy: Mapping[Part, Sequence[float]]
) -> Iterator[Computed | Exchanged]:
    by_item = {number: list(group) for number, group in groupby(sent, key=lambda one: one.section)}
    turns = _turns(layout)
    for number, item in enumerate(layout.items):
        if isinstance(item, Section):
            shares = (seconds / turns for seconds in busy[item.part])
            yield Computed(dict(zip(item.ranks, shares, strict=True)))
        yield from (_exchanged(one) for one in by_item.get(number, ()))


def _turns(layout: Layout) -> int:
    """On how many parts of the samples each part is computed."""
    sections = sum(isinstance(item, Section) for item in layout.items)
    return max(1, sections // max(1, len(layout.places)))


def _seconds(part: Part) -> list[float]:
    """By rank of the part, for all samples."""
    seconds = [work / MULTIPLICATIONS_PER_S for work in work_by_rank(part.graph, part.choices, part.workers)]
    held = layout_bytes(Layout(part.graph, (Section(part, tuple(range(part.workers))),), part.workers))
    return [max(busy, nbytes / WEIGHT_BYTES_PER_S) for busy, nbytes in zip(seconds, held, strict=True)]


def _exchanged(sent: Sent) -> Exchanged:
    senders, receivers = _ends(sent)
    copies = len(sent.ranks) - 1 if sent.kind in _SAME_FOR_ALL else 1
    distinct = sent.nbytes // max(1, copies)
    return Exchanged(senders, receivers, sent.nbytes, distinct, sent.messages, sent.rounds, sent.relayed)


def _ends(sent: Sent) -> tuple[tuple[int, ...], tuple[int, ...]]:
    first, others = sent.ranks[:1], sent.ranks[1:]
    if sent.kind in _ROOT_SENDS or sent.kind == "send":
        return first, others
    return (others, first) if sent.kind in _ROOT_RECEIVES else (sent.ranks, sent.ranks)
