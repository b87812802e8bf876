from __future__ import annotations

import json
import math
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.codec import program_from_json, program_to_json
from engine.errors import ProgramError
from engine.program import Exchange, Free, Program, Run

_NAMES = st.text(min_size=1, max_size=5)
_SCALARS = st.one_of(st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False), st.text(max_size=5))
_ARRAYS = st.one_of(
    st.lists(st.integers(-9, 9), max_size=3), st.lists(st.floats(allow_nan=False), max_size=3), st.lists(_NAMES)
).map(tuple)
_RUNS = st.builds(
    Run,
    step=st.just(0),
    kernel=_NAMES,
    inputs=st.lists(_NAMES, max_size=3).map(tuple),
    outputs=st.lists(_NAMES, max_size=3).map(tuple),
    graph=st.text(max_size=5),
    weights=st.lists(_NAMES, max_size=3).map(tuple),
    attributes=st.dictionaries(_NAMES, st.one_of(_SCALARS, _ARRAYS), max_size=4),
    layer=st.text(max_size=5),
)
_EXCHANGES = st.builds(
    Exchange,
    step=st.just(0),
    kind=st.sampled_from(["all_gather", "rows", "scatter", "send"]),
    input=_NAMES,
    output=_NAMES,
    group=st.sampled_from([(0, 1), (1, 0), (2, 1, 0), (0, 3)]),
    axis=st.integers(-4, 4),
    unit=st.integers(1, 64),
    blocks=st.integers(1, 3),
    deal=st.just(()),
    join_axis=st.integers(-4, 4),
    join_blocks=st.integers(1, 3),
    root=st.just(0),
    reduce=st.sampled_from(["", "sum"]),
    maps=st.text(max_size=3),
    rows=st.integers(0, 9),
    relay=st.sampled_from([-1, 0]),
    senders=st.sampled_from([(), (0,)]),
)
_FREES = st.builds(Free, step=st.just(0), tensors=st.lists(_NAMES, max_size=3).map(tuple))


@given(st.one_of(_RUNS, _EXCHANGES, _FREES))
def test_every_instruction_survives_json(instruction: Run | Exchange | Free) -> None:
    program = Program(0, 4, (instruction,))
    assert program_from_json(program_to_json(program)) == program


def test_integer_and_float_attributes_stay_what_they_are() -> None:
    run = Run(0, "k", (), (), attributes={"a": 1, "b": 1.0, "c": True, "d": -math.inf, "e": (1.0, math.inf)})
    attributes = cast(Run, program_from_json(program_to_json(Program(0, 1, (run,)))).instructions[0]).attributes
    assert [type(attributes[name]) for name in "abcde"] == [int, float, bool, float, tuple]
    assert attributes == run.attributes


def _document(**changes: Any) -> str:
    exchange = {"do": "exchange", "step": 1, "kind": "rows", "input": "x", "output": "y", "group": [0, 1], **changes}
    return json.dumps({"schema_version": 1, "rank": 0, "world_size": 2, "instructions": [exchange]})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_document(kind="gossip"), "kind: expected one of"),
        (_document(do="jump"), "do: expected 'run', 'exchange' or 'free'"),
        (_document(group=[0, 0]), "group: expected different ranks"),
        (_document(group=[1]), "group: expected different ranks with 0 among them"),
        (_document(group=[0, 2]), "group: expected an integer in [0, 1]"),
        (_document(kind="scatter", group=[0], root=1), "root: expected a rank of the group"),
        (_document(deal=[1, 1, 1]), "deal: expected a number of units for each of 2 ranks"),
        (_document(deal=[-1, 3]), "deal: expected an integer"),
        (_document(axis=1000), "axis: expected an integer"),
        (_document(group=[0], relay=1), "relay: expected it and senders in the group [0], got [1]"),
        (_document(group=[0], senders=[0, 1]), "relay: expected it and senders in the group [0], got [-1, 0, 1]"),
        (_document(relay=2), "relay: expected an integer in [-1, 1]"),
        (_document(relay=1, senders=[2]), "senders: expected an integer in [0, 1]"),
        (_document(step=-1), "step: expected an integer"),
        (_document(rows=True), "rows: expected an integer"),
        (_document(code="import os"), "unknown fields ['code']"),
        (_document().replace('"rank": 0', '"rank": 2'), "rank: expected an integer in [0, 1]"),
        (_document().replace('"schema_version": 1', '"schema_version": 9'), "schema_version: expected 1, got 9"),
        ('{"schema_version": 1', "no valid JSON"),
        ("[]", "expected an object"),
    ],
)
def test_malformed_program_is_refused_with_one_line(text: str, message: str) -> None:
    with pytest.raises(ProgramError) as caught:
        program_from_json(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_program_that_names_no_relay_has_none() -> None:
    exchange = cast(Exchange, program_from_json(_document()).instructions[0])
    assert (exchange.relay, exchange.senders) == (-1, ())
    relayed = cast(Exchange, program_from_json(_document(relay=1, senders=[0, 1])).instructions[0])
    assert (relayed.relay, relayed.senders) == (1, (0, 1))


@pytest.mark.parametrize("value", [None, [1, 2.0], [True], [[1]], {"float": "1.5"}, {"a": 1}])
def test_attribute_of_another_type_is_refused(value: object) -> None:
    run = {"do": "run", "step": 0, "kernel": "k", "inputs": [], "outputs": [], "attributes": {"a": value}}
    with pytest.raises(ProgramError, match="attributes"):
        program_from_json(json.dumps({"schema_version": 1, "rank": 0, "world_size": 1, "instructions": [run]}))


def test_step_that_occurs_twice_is_refused() -> None:
    with pytest.raises(ProgramError, match="each step once"):
        program_to_json(Program(0, 1, (Free(3, ()), Free(3, ()))))
