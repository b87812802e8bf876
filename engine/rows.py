"""The exchange of kind "rows": every rank gets only the rows it reads, and of these only samples that are not all zero.

Where the maps say zero rows between two ranks, nothing is sent and nobody waits. Otherwise a message goes out even if
every sample in it is dead, because the other side waits for it.

Memory: what a rank sends is taken and encoded one message at a time, and a part is given up as soon as it is placed.
Pages of the output are the operating system's until they are written, so parts and output together take little more
than either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from channels.tensors import LiveTensor, Tensor
from engine.ahead import Ahead
from engine.arriving import Arriving, Part, spread
from engine.errors import ExchangeError, ProgramError
from engine.port import Port, same_kind
from engine.program import Exchange
from engine.row_maps import RowMaps
from engine.tensor_ops import axis_size, drop_dead, is_one_row, non_finite_samples, normal_axis, union_samples

_NO_ROWS: Final[NDArray[np.int32]] = np.zeros(0, np.int32)
_NO_SAMPLES: Final[NDArray[np.int64]] = np.zeros(0, np.int64)


def exchange_rows(
    exchange: Exchange, value: Tensor | None, port: Port, maps: RowMaps, ahead: Ahead | None = None
) -> Tensor:
    """Rows of all ranks at the positions that the maps name; the others are zero.

    value: a LiveTensor, whose rows are its features, or an array, whose rows lie along exchange.axis; None on a rank
           that only gets rows.
    reduce: "" places rows; "sum" adds those of equal position in group order.
    ahead: computes rows of the layer behind the exchange while it waits.

    Raises:
        ProgramError: if the maps do not fit the value, or reduce is neither.
        ExchangeError: if another rank sent what does not fit.
    """
    _check_maps(exchange, value, maps)
    take = None if value is None else _taker(exchange, value)
    others = [(i, rank) for i, rank in enumerate(exchange.group) if rank != port.rank]
    wanted = [(rank, maps.send[i]) for i, rank in others if maps.send[i].size]
    if exchange.relay >= 0:
        port.relay(exchange.relay, exchange.senders, exchange.relay_on)
    if take is not None and wanted:
        port.send(_messages(wanted, take))
    if exchange.relay == port.rank:
        port.hand_on()
    if ahead is not None and isinstance(value, LiveTensor) and take is not None and not exchange.reduce:
        return _placed_as_they_come(exchange, value, take, port, maps, ahead)
    at = {rank: i for i, rank in enumerate(exchange.group)}
    kept: dict[int, Tensor] = {}  # no more of a part than is read: a rank may get many times what it reads
    for rank, part in port.receive([rank for i, rank in others if maps.recv[i].size]):
        if take is None:
            take = _taker(exchange, _rowless(exchange, part))
        _check(part, take(_NO_ROWS), maps.recv[at[rank]].size, _axis(exchange, part), rank)
        kept[rank] = _kept(exchange, part, maps.kept[at[rank]])
        del part  # before the next one is decoded
    assert take is not None, "_check_maps: a rank that holds nothing gets something"
    nothing = take(_NO_ROWS)
    kept[port.rank] = _kept(exchange, take(maps.send[at[port.rank]]), maps.kept[at[port.rank]])
    return _placed(exchange, nothing, kept, maps.places)


def _placed_as_they_come(
    exchange: Exchange,
    value: LiveTensor,
    take: Callable[[NDArray[np.int32]], Tensor],
    port: Port,
    maps: RowMaps,
    ahead: Ahead,
) -> Tensor:
    """The output; what has come is placed, and rows of the next layer are computed, while other parts are awaited."""
    arriving, nothing = Arriving(exchange.rows, value.values.dtype, value.total), take(_NO_ROWS)
    at = {rank: i for i, rank in enumerate(exchange.group)}
    awaited = {rank for rank, i in at.items() if rank != port.rank and maps.recv[i].size}

    def add(rank: int, part: Tensor) -> None:
        i = at[rank]
        _check(part, nothing, maps.recv[i].size, 1, rank)
        kept = _kept(exchange, part, maps.kept[i])
        assert isinstance(kept, LiveTensor), "_check: all parts are what the own one is"
        arriving.add(Part(i, maps.places[i], kept))
        awaited.discard(rank)
        if awaited and arriving.is_much and not port.is_any_here(awaited):
            ahead.advance(arriving)

    add(port.rank, take(maps.send[at[port.rank]]))
    for rank, part in port.receive(sorted(awaited, key=at.__getitem__)):
        add(rank, part)
        del part  # before the next one is decoded
    ahead.end(arriving)
    return arriving.tensor


def _rowless(exchange: Exchange, part: Tensor) -> Tensor:
    """A tensor of the part's kind without any row: it keeps nothing alive."""
    return _taker(exchange, part)(_NO_ROWS)


def _kept(exchange: Exchange, part: Tensor, rows: NDArray[np.int32] | None) -> Tensor:
    """The rows of a part that have a place in the output; None: all have."""
    return part if rows is None else _taker(exchange, part, views=False)(rows)


def _messages(
    wanted: Sequence[tuple[int, NDArray[np.int32]]], take: Callable[[NDArray[np.int32]], Tensor]
) -> Iterator[tuple[int, Tensor]]:
    """(rank, tensor), taken when it is its turn; one after another for all that want the same rows."""
    readers: dict[int, tuple[NDArray[np.int32], list[int]]] = {}
    for rank, rows in wanted:
        readers.setdefault(id(rows), (rows, []))[1].append(rank)
    for rows, ranks in readers.values():
        tensor = take(rows)
        yield from [(rank, tensor) for rank in ranks]
        del tensor  # before the next one is taken


def _check_maps(exchange: Exchange, value: Tensor | None, maps: RowMaps) -> None:
    held = 0 if value is None else axis_size(value, _axis(exchange, value))
    if maps.highest_sent >= held:
        raise ProgramError(f"step {exchange.step}: send_rows reach {maps.highest_sent} of {held} rows")
    if value is None and not any(rows.size for rows in maps.recv):
        raise ProgramError(f"step {exchange.step} rows: expected rows to hold or to get, got neither")
    if exchange.reduce not in ("", "sum"):
        raise ProgramError(f"step {exchange.step} rows: expected reduce '' or 'sum', got {exchange.reduce!r}")


def _axis(exchange: Exchange, value: Tensor) -> int:
    return 1 if isinstance(value, LiveTensor) else normal_axis(value, exchange.axis)


def _placed(
    exchange: Exchange, nothing: Tensor, parts: dict[int, Tensor], places: Sequence[NDArray[np.int32]]
) -> Tensor:
    """The output; `nothing` is of its kind, but without rows.

    parts:  by rank; taken out as they are placed.
    places: by position in the group, of each row of the rank's part.
    """
    axis = _axis(exchange, nothing)
    for rank, rows in zip(exchange.group, places, strict=True):
        _check(parts.get(rank, nothing), nothing, rows.size, axis, rank)
    if isinstance(nothing, LiveTensor):
        return _place_live(exchange, nothing, parts, places)
    return _place_dense(exchange, nothing, parts, places, axis)


def _taker(exchange: Exchange, value: Tensor, views: bool = True) -> Callable[[NDArray[np.int32]], Tensor]:
    """What takes rows of the value. views: it may keep all of the value alive for them."""
    if not isinstance(value, LiveTensor):
        axis = _axis(exchange, value)
        return lambda rows: np.take(value, rows, axis=axis)
    bad = non_finite_samples(value.values) if not exchange.reduce else _NO_SAMPLES
    return lambda rows: _take_live(value, rows, bad, views)


def _take_live(value: LiveTensor, rows: NDArray[np.int32], bad: NDArray[np.int64], views: bool) -> LiveTensor:
    """The rows, without samples that are zero in them; bad: columns of `value` with NaN or Inf somewhere."""
    if not bad.size and is_one_row(value.values):
        return drop_dead(LiveTensor(value.values[: rows.size], value.samples, value.total))
    if not bad.size and views and _consecutive(rows):
        return drop_dead(LiveTensor(value.values[rows[0] : rows[-1] + 1], value.samples, value.total))
    values = np.take(value.values, rows, axis=0)
    if bad.size:
        in_all = np.count_nonzero(~np.isfinite(value.values[:, bad]), axis=0)
        in_rows = np.count_nonzero(~np.isfinite(values[:, bad]), axis=0)
        values[:, bad[in_rows < in_all]] = np.nan
    return drop_dead(LiveTensor(values, value.samples, value.total))


def _consecutive(rows: NDArray[np.int32]) -> bool:
    """Whether they are neighbours in their order: a view does then."""
    return bool(rows.size and rows[-1] - rows[0] + 1 == rows.size and (np.diff(rows) == 1).all())


def _check(part: Tensor, value: Tensor, rows: int, axis: int, source: int) -> None:
    same_kind(value, part, source)
    expected = (*_shape(value)[:axis], rows, *_shape(value)[axis + 1 :])
    if _shape(part) != expected or _dtype(part) != _dtype(value):
        raise ExchangeError(
            f"from rank {source}: expected {_dtype(value)} {expected}, got {_dtype(part)} {_shape(part)}"
        )


def _shape(tensor: Tensor) -> tuple[int, ...]:
    """As [samples, features] for a LiveTensor."""
    return (tensor.total, tensor.values.shape[0]) if isinstance(tensor, LiveTensor) else tensor.shape


def _dtype(tensor: Tensor) -> np.dtype[np.generic]:
    return tensor.values.dtype if isinstance(tensor, LiveTensor) else tensor.dtype


def _place_live(
    exchange: Exchange, nothing: LiveTensor, parts: dict[int, Tensor], places: Sequence[NDArray[np.int32]]
) -> LiveTensor:
    samples = union_samples((part for part in parts.values() if isinstance(part, LiveTensor)), nothing.total)
    values = np.zeros((exchange.rows, samples.size), nothing.values.dtype)
    for rank, rows in zip(exchange.group, places, strict=True):
        part = parts.pop(rank, nothing)
        assert isinstance(part, LiveTensor), "_check: of one kind"
        if exchange.reduce:
            values[rows] += spread(part, samples)
        else:
            values[rows] = spread(part, samples)
    return LiveTensor(values, samples, nothing.total)


def _place_dense(
    exchange: Exchange,
    nothing: NDArray[np.generic],
    parts: dict[int, Tensor],
    places: Sequence[NDArray[np.int32]],
    axis: int,
) -> NDArray[np.generic]:
    output = np.zeros((*nothing.shape[:axis], exchange.rows, *nothing.shape[axis + 1 :]), nothing.dtype)
    for rank, rows in zip(exchange.group, places, strict=True):
        part = parts.pop(rank, nothing)
        assert isinstance(part, np.ndarray), "_check: of one kind"
        where = (slice(None),) * axis + (rows,)
        if exchange.reduce:
            output[where] += part
        else:
            output[where] = part
    return output
