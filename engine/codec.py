"""Program <-> JSON. Defaults are left out; everything that is read is checked, for a program comes from a bucket."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast, get_args

from bundle.fields import FieldError, Fields, canonical_json, parse_json
from engine.errors import ProgramError
from engine.program import Attribute, Exchange, ExchangeKind, Free, Instruction, Program, Run

SCHEMA_VERSION = 1
_POINT_TO_POINT = ("recv", "send")


def program_to_json(program: Program) -> bytes:
    """Canonical JSON of a program.

    Raises:
        ProgramError: if it would be refused when it is read.
    """
    document = {
        "schema_version": SCHEMA_VERSION,
        "rank": program.rank,
        "world_size": program.world_size,
        "instructions": [_encode(instruction) for instruction in program.instructions],
    }
    data = canonical_json(document)
    program_from_json(data)
    return data


def program_from_json(data: bytes | str) -> Program:
    """The program of a JSON document.

    Raises:
        ProgramError: if it is not a program of this schema version.
    """
    try:
        return _program(parse_json(data, "program"))
    except FieldError as error:
        raise ProgramError(str(error)) from error


def _encode(instruction: Instruction) -> dict[str, Any]:
    kind = type(instruction)
    defaults = vars(_DEFAULTS[kind])
    fields = {name: value for name, value in vars(instruction).items() if value != defaults.get(name)}
    if isinstance(instruction, Run) and instruction.attributes:
        fields["attributes"] = {name: _encode_attribute(value) for name, value in instruction.attributes.items()}
    return {"do": kind.__name__.lower(), "step": instruction.step, **fields}


_DEFAULTS: Mapping[type[Instruction], Instruction] = {
    Run: Run(-1, "", (), ()),
    Exchange: Exchange(-1, cast(ExchangeKind, ""), "", "", ()),
    Free: Free(-1, ()),
}


def _encode_attribute(value: Attribute) -> object:
    """JSON has no infinity: {"float": "inf"}."""
    if isinstance(value, tuple):
        return [_encode_attribute(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    return value


def _program(fields: Fields) -> Program:
    version = fields.integer("schema_version")
    if version != SCHEMA_VERSION:
        raise FieldError(f"program.schema_version: expected {SCHEMA_VERSION}, got {version}: register the model again")
    world_size = fields.integer("world_size", low=1)
    rank = fields.integer("rank", high=world_size - 1)
    instructions = tuple(_instruction(item, rank, world_size) for item in fields.objects("instructions"))
    fields.done()
    steps = [instruction.step for instruction in instructions]
    if len(set(steps)) != len(steps):
        raise FieldError("program.instructions: expected each step once, got a step twice")
    return Program(rank, world_size, instructions)


def _instruction(fields: Fields, rank: int, world_size: int) -> Instruction:
    do = fields.text("do")
    instruction: Instruction
    if do == "run":
        instruction = _run(fields)
    elif do == "exchange":
        instruction = _exchange(fields, rank, world_size)
    elif do == "free":
        instruction = Free(fields.integer("step"), fields.texts("tensors"))
    else:
        fields.fail("do", "'run', 'exchange' or 'free'", do)
    fields.done()
    return instruction


def _run(fields: Fields) -> Run:
    return Run(
        step=fields.integer("step"),
        kernel=fields.text("kernel"),
        inputs=fields.texts("inputs"),
        outputs=fields.texts("outputs"),
        graph=fields.text("graph", default=""),
        weights=fields.texts("weights"),
        attributes={name: _attribute(fields, name, value) for name, value in fields.mapping("attributes").items()},
        layer=fields.text("layer", default=""),
    )


def _attribute(fields: Fields, name: str, value: object) -> Attribute:
    if isinstance(value, list):
        items = tuple(_scalar(fields, name, item) for item in value)
        if len({type(item) for item in items}) > 1 or any(isinstance(item, bool) for item in items):
            fields.fail(f"attributes[{name!r}]", "items of one type, no booleans", value)
        return cast(Attribute, items)
    return _scalar(fields, name, value)


def _scalar(fields: Fields, name: str, value: object) -> bool | int | float | str:
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict) and value in ({"float": "inf"}, {"float": "-inf"}, {"float": "nan"}):
        return float(value["float"])
    return fields.fail(f"attributes[{name!r}]", "a bool, number, string or an array of them", value)


def _exchange(fields: Fields, rank: int, world_size: int) -> Exchange:
    kind = fields.text("kind")
    if kind not in get_args(ExchangeKind):
        fields.fail("kind", f"one of {get_args(ExchangeKind)}", kind)
    exchange = Exchange(
        step=fields.integer("step"),
        kind=cast(ExchangeKind, kind),
        input=fields.text("input", default=""),
        output=fields.text("output", default=""),
        group=fields.integers("group", high=world_size - 1),
        axis=fields.integer("axis", default=0, low=-64, high=63),
        unit=fields.integer("unit", default=1, low=1),
        blocks=fields.integer("blocks", default=1, low=1),
        deal=fields.integers("deal"),
        join_axis=fields.integer("join_axis", default=0, low=-64, high=63),
        join_blocks=fields.integer("join_blocks", default=1, low=1),
        root=fields.integer("root", default=0, high=world_size - 1),
        reduce=fields.text("reduce", default=""),
        maps=fields.text("maps", default=""),
        rows=fields.integer("rows", default=0),
        relay=fields.integer("relay", default=-1, low=-1, high=world_size - 1),
        relay_on=fields.texts("relay_on"),
        senders=fields.integers("senders", high=world_size - 1),
        layer=fields.text("layer", default=""),
    )
    _check_group(fields, exchange, rank)
    return exchange


def _check_group(fields: Fields, exchange: Exchange, rank: int) -> None:
    group = exchange.group
    if len(set(group)) != len(group) or rank not in group:
        fields.fail("group", f"different ranks with {rank} among them", list(group))
    if len(exchange.deal) not in (0, len(group)):
        fields.fail("deal", f"a number of units for each of {len(group)} ranks", list(exchange.deal))
    if exchange.relay not in (-1, *group) or not set(exchange.senders) <= set(group):
        fields.fail("relay", f"it and senders in the group {list(group)}", [exchange.relay, *exchange.senders])
    if exchange.root not in group and exchange.kind in ("broadcast", "gather", "reduce", "scatter", *_POINT_TO_POINT):
        fields.fail("root", f"a rank of the group {list(group)}", exchange.root)
