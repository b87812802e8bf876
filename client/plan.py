"""`fsd plan`: how a model would be divided, what it would send and cost, without compiling or running anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from client.division import Division
from client.tables import align
from costs import calls_to_json
from costs.planner import Prediction
from costs.sized import Estimate
from partition.choices import Choice
from partition.compile import lay_out, prepare
from partition.forecast import MEMORY_MB, forecast
from partition.graph import Op
from partition.grid import parse_strategy
from partition.held import layout_bytes
from partition.layout import Layout
from partition.planning import merged_info
from partition.traffic import Sent, traffic
from runs.catalog import merged_rows
from runs.choice import best_channel
from runs.request import CHANNELS, PREFERENCES


def plan_model(model: Path, division: Division, function_mb: int = MEMORY_MB, express: bool = False) -> dict[str, Any]:
    """The plan as plain JSON; docs/strategies.md has its keys.

    function_mb: memory of the functions, which is what Lambda charges.
    express:     whether the stage exchanges objects in S3 Express One Zone.

    Raises:
        CompileError: if the model or the division cannot be.
        UsageError: if a limit or a size cannot be.
    """
    workers, options = division.ranks, division.options()
    strategy = parse_strategy(division.strategy, workers)
    prepared = prepare(model, options)
    chosen, layout = lay_out(prepared, strategy, workers, options)
    sent = traffic(layout, {}, {})
    foretold = {channel: forecast(layout, channel, memory_mb=function_mb, express=express) for channel in CHANNELS}
    estimates = {channel: Estimate(found.seconds, found.usd) for channel, found in foretold.items()}
    return {
        "strategy": chosen,
        "workers": workers,
        "model_weight_bytes": prepared.weight_bytes,
        "inputs": {name: list(prepared.graph.values[name].cargo.dims) for name in prepared.graph.inputs},
        "merged": merged_rows(merged_info(layout)),
        "ranks": _ranks(layout, prepared.weight_bytes),
        "parts": list(_parts(layout)),
        "exchanges": [_exchange(item) for item in sent],
        "exchanged_bytes": sum(item.nbytes for item in sent),
        "exact": all(item.exact for item in sent),
        "channels": {name: _channel(found) for name, found in foretold.items()},
        "auto_channel": {prefer: best_channel(estimates, prefer) for prefer in PREFERENCES},
    }


def _ranks(layout: Layout, weight_bytes: int) -> list[dict[str, Any]]:
    held = layout_bytes(layout)
    return [
        {"rank": rank, "weight_bytes": nbytes, "weight_share": nbytes / max(1, weight_bytes)}
        for rank, nbytes in enumerate(held)
    ]


def _parts(layout: Layout) -> Iterator[dict[str, Any]]:
    for part, groups in layout.places.items():
        placed = zip(part.graph.ops, part.choices, strict=True)
        yield {"groups": sorted(map(list, groups)), "ops": [_op(op, choice) for op, choice in placed]}


def _op(op: Op, choice: Choice) -> dict[str, Any]:
    return {
        "op": op.label,
        "mode": choice.mode,
        "letter": choice.letter,
        "inputs": [str(placement) for placement in choice.inputs],
        "outputs": [str(placement) for placement in choice.outputs],
    }


def _exchange(sent: Sent) -> dict[str, Any]:
    return {
        "stage": sent.section,
        "level": sent.after,
        "kind": sent.kind,
        "value": sent.value,
        "ranks": list(sent.ranks),
        "bytes": sent.nbytes,
        "messages": sent.messages,
        "rounds": sent.rounds,
        "exact": sent.exact,
    }


def _channel(found: Prediction) -> dict[str, Any]:
    return {"seconds": found.seconds, "usd": found.bill.usd, "calls": calls_to_json(found.calls)}


def plan_lines(plan: Mapping[str, Any]) -> list[str]:
    """The plan for a terminal: shares, how ops are computed, exchanges, price."""
    sizes = "  ".join(f"{name} {dims}" for name, dims in plan["inputs"].items())
    ranks = [(str(r["rank"]), f"{r['weight_bytes']:,}", f"{r['weight_share']:.3f}") for r in plan["ranks"]]
    lines = [f"{plan['strategy']} on {plan['workers']} workers, for inputs {sizes}"]
    lines += align([("rank", "weight bytes", "share"), *ranks])
    if plan["merged"]:
        lines.append("merged: {rows:,} equal rows, {saved_bytes:,} bytes of weights saved".format(**plan["merged"]))
    for part in plan["parts"]:
        lines += [f"ranks {' and '.join(map(str, part['groups']))}:", *_op_lines(part["ops"])]
    lines += align(_exchange_rows(plan["exchanges"]))
    lines.append(f"exchanged: {plan['exchanged_bytes']:,} bytes{'' if plan['exact'] else ', estimated'}")
    channels = plan["channels"].items()
    rows = [(name, f"{c['seconds']:.3f}", f"{c['usd']['total']:.8f}", f"{_requests(c):,}") for name, c in channels]
    lines += align([("channel", "seconds", "USD", "requests"), *rows])
    chosen = plan["auto_channel"]
    return [*lines, f"channel auto takes {chosen['usd']} for USD, {chosen['seconds']} for seconds"]


def _op_lines(ops: Sequence[Mapping[str, Any]]) -> list[str]:
    """Ops of one kind that are computed alike, in a line."""
    kinds = Counter(
        (op["op"].partition("(")[0], op["mode"], " ".join(op["inputs"]), " ".join(op["outputs"])) for op in ops
    )
    rows = [(f"  {count} x {name}", mode, f"{reads} -> {makes}") for (name, mode, reads, makes), count in kinds.items()]
    return align([("  op", "mode", "placements"), *rows])


def _exchange_rows(exchanges: Sequence[Mapping[str, Any]]) -> list[Sequence[str]]:
    head = ("value", "exchange", "stage", "level", "ranks", "bytes", "messages")
    return [head, *map(_exchange_row, exchanges)]


def _exchange_row(one: Mapping[str, Any]) -> Sequence[str]:
    place = (str(one["stage"]), str(one["level"]), str(one["ranks"]))
    return (one["value"], one["kind"], *place, f"{one['bytes']:,}", f"{one['messages']:,}")


def _requests(channel: Mapping[str, Any]) -> int:
    return sum(count["requests"] for count in channel["calls"].values())
