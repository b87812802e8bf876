"""Which faults strike which run: a pure function of seed, run number, and the run's slots."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict

from chaos.errors import PlanError
from chaos.faults import KINDS, Fault

# Every so many runs one is left alone, so that a fault that outlives its run shows.
CLEAN_EVERY = 12
# Of the killing faults of a run: nearly all have at most two, which every run must survive.
MAX_KILLING = 2
MORE_KILLING_EVERY = 40
# `at` stays below what even the shortest program does: a worker of a batch run says hello, sends its part, and reports.
REACH = {"frame": 3, "request": 5, "step": 4, "start": 1}
MAX_IN_A_ROW = 3


def run_id(seed: int, number: int) -> str:
    """32 hex digits that tell the runs of all seeds apart."""
    return f"{random.Random(f'id:{seed}:{number}').getrandbits(128):032x}"


def plan_run(seed: int, number: int, slots: int, kinds: Sequence[str] = tuple(KINDS)) -> tuple[Fault, ...]:
    """The faults of one run, of these kinds; none for one in CLEAN_EVERY.

    The first fault's kind goes round, so that every kind gets its share of any number of runs; killing faults strike
    one attempt after the other, since none survives its first.
    """
    if number % CLEAN_EVERY == CLEAN_EVERY - 1:
        return ()
    dice = random.Random(f"plan:{seed}:{number}")
    first = kinds[(number - number // CLEAN_EVERY) % len(kinds)]
    chosen = [first, *dice.choices(kinds, k=dice.choice((0, 0, 1, 1, 2)))]
    limit = MAX_KILLING + (number % MORE_KILLING_EVERY == 0)
    return tuple(_place(dice, slots, _limited(chosen, limit)))


def _limited(chosen: Sequence[str], limit: int) -> list[str]:
    """The kinds, without the killing ones past the limit."""
    killing = [index for index, kind in enumerate(chosen) if KINDS[kind].killing]
    return [kind for index, kind in enumerate(chosen) if index not in killing[limit:]]


def _place(dice: random.Random, slots: int, kinds: Sequence[str]) -> list[Fault]:
    faults: list[Fault] = []
    attempt = 1
    for name in sorted(kinds, key=lambda kind: KINDS[kind].killing):
        kind = KINDS[name]
        slot = _slot(dice, slots, kind.slots)
        times = dice.randint(1, MAX_IN_A_ROW) if kind.place == "request" and name != "lost_answer" else 1
        # Rank 0 sends a worker its rank and its input, and nothing else is certain.
        reach = min(REACH[kind.place], 2 * (slots - 1)) if slot == 0 else REACH[kind.place]
        faults.append(Fault(name, attempt, slot, dice.randrange(reach), times))
        attempt += kind.killing
    return faults


def _slot(dice: random.Random, slots: int, which: str) -> int:
    if which == "rank 0":
        return 0
    return dice.randrange(1 if which == "workers" else 0, slots)


def dump_plan(faults: Sequence[Fault]) -> str:
    """The plan as the functions read it."""
    return json.dumps([asdict(fault) for fault in faults])


def load_plan(text: str) -> tuple[Fault, ...]:
    """The faults of a plan.

    Raises:
        PlanError: it is none.
    """
    try:
        faults = tuple(Fault(**entry) for entry in json.loads(text))
    except (ValueError, TypeError) as error:
        raise PlanError(f"plan: expected a list of faults: {error}") from error
    unknown = sorted({fault.kind for fault in faults} - set(KINDS))
    if unknown:
        raise PlanError(f"plan: expected kinds of {', '.join(KINDS)}; got {', '.join(unknown)}")
    return faults
