"""The exchange kinds: each sends what others need, then receives in order of arrival and joins in group order.

A collective is a pure function of its input and of what it receives, so it can be run again from its start. It returns
the rank's output, or None where the rank gets none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from channels.tensors import LiveTensor, Tensor
from engine.ahead import Ahead
from engine.errors import ExchangeError, ProgramError
from engine.port import Port, same_kind
from engine.program import Exchange
from engine.reductions import reduce_parts
from engine.row_maps import RowMaps
from engine.rows import exchange_rows
from engine.split import is_direct_reduce
from engine.tensor_ops import divide, join

Collective = Callable[[Exchange, Tensor | None, Port, RowMaps | None], Tensor | None]

_KINDS: dict[str, Collective] = {}


def run_exchange(
    exchange: Exchange, value: Tensor | None, port: Port, maps: RowMaps | None = None, ahead: Ahead | None = None
) -> Tensor | None:
    """Take part in one exchange; `value` is the own input, None where the rank has none.

    maps: the index maps of kind "rows". ahead: what computes, while this waits, the layer that reads the output.

    Raises:
        ProgramError: if the kind is not supported or the input is missing.
        ExchangeError: if another rank sent what does not fit.
    """
    if exchange.kind not in _KINDS:
        raise ProgramError(f"step {exchange.step}: expected a kind of {sorted(_KINDS)}, got {exchange.kind!r}")
    try:
        if ahead is not None and maps is not None:
            return exchange_rows(exchange, value, port, maps, ahead)
        return _KINDS[exchange.kind](exchange, value, port, maps)
    except ExchangeError as error:
        raise ExchangeError(f"step {exchange.step} {exchange.kind} on rank {port.rank}: {error}") from error


def _collective(kind: str) -> Callable[[Collective], Collective]:
    def register(function: Collective) -> Collective:
        _KINDS[kind] = function
        return function

    return register


def _need(exchange: Exchange, value: Tensor | None) -> Tensor:
    if value is None:
        raise ProgramError(f"step {exchange.step} {exchange.kind}: input {exchange.input!r} is not there")
    return value


def _others(exchange: Exchange, port: Port) -> list[int]:
    return [rank for rank in exchange.group if rank != port.rank]


@_collective("all_gather")
def _all_gather(exchange: Exchange, value: Tensor | None, port: Port, _: RowMaps | None) -> Tensor:
    mine = _need(exchange, value)
    port.send([(rank, mine) for rank in _others(exchange, port)])
    return _join_received(exchange, mine, port, exchange.axis, exchange.blocks)


@_collective("all_reduce")
def _all_reduce(exchange: Exchange, value: Tensor | None, port: Port, _: RowMaps | None) -> Tensor:
    mine = _dense(_need(exchange, value))
    if is_direct_reduce(mine.nbytes, len(exchange.group)):
        port.send([(rank, mine) for rank in _others(exchange, port)])
        return reduce_parts(exchange.reduce, _parts(exchange, mine, port))
    pieces = np.array_split(mine.reshape(-1), len(exchange.group))
    reduced = _reduce_pieces(exchange, pieces, port)
    port.send([(rank, reduced) for rank in _others(exchange, port)], phase=1)
    whole = np.concatenate(_parts(exchange, reduced, port, phase=1, shapes=[piece.shape for piece in pieces]))
    return whole.reshape(mine.shape)


@_collective("all_to_all")
def _all_to_all(exchange: Exchange, value: Tensor | None, port: Port, _: RowMaps | None) -> Tensor:
    pieces = _cut_for_group(exchange, _need(exchange, value))
    mine = _send_pieces(exchange, pieces, port)
    return _join_received(exchange, mine, port, exchange.join_axis, exchange.join_blocks)


@_collective("broadcast")
def _broadcast(exchange: Exchange, value: Tensor | None, port: Port, _: RowMaps | None) -> Tensor:
    if port.rank != exchange.root:
        return port.receive_all([exchange.root])[exchange.root]
    mine = _need(exchange, value)
    port.send([(rank, mine) for rank in _others(exchange, port)])
    return mine


@_collective("gather")
def _gather(exchange: Exchange, value: Tensor | None, port: Port, _: RowMaps | None) -> Tensor | None:
    mine = _need(exchange, value)
    if port.rank == exchange.root:
        return _join_received(exchange, mine, port, exchange.axis, exchange.blocks)
    port.send([(exchange.root, mine)])
    return None


@_collective("recv")
def _recv(exchange: Exchange, _: Tensor | None, port: Port, __: RowMaps | None) -> Tensor:
    return port.receive_all([exchange.root])[exchange.root]


@_collective("reduce")
def _reduce(exchange: Exchange, value: Tensor | None, port: Port, _: RowMaps | None) -> Tensor | None:
    mine = _dense(_need(exchange, value))
    if port.rank == exchange.root:
        return reduce_parts(exchange.reduce, _parts(exchange, mine, port))
    port.send([(exchange.root, mine)])
    return None


@_collective("reduce_scatter")
def _reduce_scatter(exchange: Exchange, value: Tensor | None, port: Port, _: RowMaps | None) -> Tensor:
    mine = _dense(_need(exchange, value))
    return _reduce_pieces(exchange, [_dense(piece) for piece in _cut_for_group(exchange, mine)], port)


@_collective("rows")
def _rows(exchange: Exchange, value: Tensor | None, port: Port, maps: RowMaps | None) -> Tensor:
    if maps is None:
        raise ProgramError(f"step {exchange.step} rows: the index maps {exchange.maps!r} are not there")
    return exchange_rows(exchange, _need(exchange, value) if exchange.input else value, port, maps)


@_collective("scatter")
def _scatter(exchange: Exchange, value: Tensor | None, port: Port, _: RowMaps | None) -> Tensor:
    if port.rank != exchange.root:
        return port.receive_all([exchange.root])[exchange.root]
    return _send_pieces(exchange, _cut_for_group(exchange, _need(exchange, value)), port)


@_collective("send")
def _send(exchange: Exchange, value: Tensor | None, port: Port, _: RowMaps | None) -> None:
    port.send([(exchange.root, _need(exchange, value))])


def _cut_for_group(exchange: Exchange, value: Tensor) -> list[Tensor]:
    return divide(value, exchange.axis, len(exchange.group), exchange.unit, exchange.blocks, exchange.deal)


def _send_pieces(exchange: Exchange, pieces: list[Tensor], port: Port) -> Tensor:
    """Send piece i to the i-th rank of the group and return the own one."""
    by_rank = dict(zip(exchange.group, pieces, strict=True))
    port.send([(rank, by_rank[rank]) for rank in _others(exchange, port)])
    return by_rank[port.rank]


def _join_received(exchange: Exchange, mine: Tensor, port: Port, axis: int, blocks: int) -> Tensor:
    parts: Mapping[int, Tensor] = {**port.receive_all(_others(exchange, port)), port.rank: mine}
    for rank, part in parts.items():
        same_kind(mine, part, rank)
    return join([parts[rank] for rank in exchange.group], axis, blocks)


def _reduce_pieces(exchange: Exchange, pieces: list[NDArray[np.generic]], port: Port) -> NDArray[np.generic]:
    mine = _dense(_send_pieces(exchange, list(pieces), port))
    return reduce_parts(exchange.reduce, _parts(exchange, mine, port))


def _parts(
    exchange: Exchange,
    mine: NDArray[np.generic],
    port: Port,
    phase: int = 0,
    shapes: list[tuple[int, ...]] | None = None,
) -> list[NDArray[np.generic]]:
    """The arrays of the whole group in group order, the own one among them, each of the shape that is due."""
    received = {**port.receive_all(_others(exchange, port), phase), port.rank: mine}
    expected = shapes or [mine.shape] * len(exchange.group)
    parts = [_dense(received[rank]) for rank in exchange.group]
    for rank, part, shape in zip(exchange.group, parts, expected, strict=True):
        if part.shape != shape or part.dtype != mine.dtype:
            raise ExchangeError(f"from rank {rank}: expected {mine.dtype} {shape}, got {part.dtype} {part.shape}")
    return parts


def _dense(value: Tensor) -> NDArray[np.generic]:
    if isinstance(value, LiveTensor):
        raise ExchangeError("expected a dense tensor, got a live one; use kind 'rows'")
    return value
