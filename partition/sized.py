"""What a bundle says of its runs: their price and time by channel, for a few sizes of the request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from costs.sized import INFO_KEY, Point, point, to_info
from partition.forecast import forecast_all, seconds_by_part
from partition.graph import Graph
from partition.layout import Layout
from partition.traffic import Shape

# Factors on the size to expect: 1 to 262,144 samples, unless told otherwise. In between, prices are read off a line.
_FACTORS = (1 / 64, 1 / 4, 1, 16, 256, 4096)


def sized_info(layout: Layout) -> Mapping[str, str]:
    """For the manifest's info; nothing where nothing is exchanged."""
    return {INFO_KEY: to_info(_points(layout))} if layout.workers > 1 else {}


def _points(layout: Layout) -> Iterator[Point]:
    graph, done, busy = layout.graph, set[int](), seconds_by_part(layout)
    for factor in _FACTORS:
        shapes = {name: _scaled(graph, name, factor) for name in graph.inputs}
        nbytes = sum(_bytes(graph, name, shape) for name, shape in shapes.items())
        if nbytes not in done:
            done.add(nbytes)
            yield from (point(*found, nbytes) for found in forecast_all(layout, shapes, busy))


def _scaled(graph: Graph, name: str, factor: float) -> Shape:
    """The expected shape with what requests choose, of the first such axis, multiplied: samples, as a rule."""
    value = graph.values[name]
    dims, first = value.cargo.dims, _first_symbol(graph)
    return tuple(
        max(1, int(size * factor)) if dim == first else size for dim, size in zip(value.shape or (), dims, strict=True)
    )


def _first_symbol(graph: Graph) -> str | None:
    """The first dimension of an input that a request chooses, by name; an unnamed one is "", for all of these."""
    dims = (dim for name in graph.inputs for dim in graph.values[name].shape or ())
    return next((dim or "" for dim in dims if not isinstance(dim, int)), None)


def _bytes(graph: Graph, name: str, shape: Shape) -> int:
    nbytes = graph.values[name].cargo.item_bytes
    for size in shape:
        nbytes *= size
    return nbytes
