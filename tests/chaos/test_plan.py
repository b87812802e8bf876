"""Plans are the same for the same seed, give every kind its share, and can be borne but for few."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest

from chaos.cases import MODELS, Model, Uniform
from chaos.errors import PlanError
from chaos.faults import KINDS, Fault
from chaos.plan import MAX_KILLING, dump_plan, load_plan, plan_run, run_id
from tests.chaos.uniform import uniform_network

SEEDS = (0, 1, 2_026)


def plans(seed: int, runs: int = 1000) -> list[tuple[Fault, ...]]:
    return [plan_run(seed, number, 2 + number % 3) for number in range(runs)]


def test_the_same_seed_is_the_same_plan_and_another_one_another() -> None:
    assert plans(3, 50) == plans(3, 50)
    assert plans(3, 50) != plans(4, 50)
    assert run_id(3, 7) == run_id(3, 7)
    assert len({run_id(seed, number) for seed in SEEDS for number in range(100)}) == 300


@pytest.mark.parametrize("seed", SEEDS)
def test_a_thousand_runs_meet_every_kind_well_over_fifty_times(seed: int) -> None:
    counts = Counter(fault.kind for plan in plans(seed) for fault in plan)
    assert set(counts) == set(KINDS)
    assert min(counts.values()) >= 70
    assert sum(map(bool, plans(seed))) >= 900


@pytest.mark.parametrize("seed", SEEDS)
def test_killing_faults_strike_one_attempt_after_the_other(seed: int) -> None:
    for plan in plans(seed):
        killing = [fault.attempt for fault in plan if fault.killing]
        assert killing == list(range(1, len(killing) + 1))
    within = [plan for plan in plans(seed) if sum(fault.killing for fault in plan) <= MAX_KILLING]
    assert len(within) >= 990


@pytest.mark.parametrize("seed", SEEDS)
def test_faults_strike_only_slots_that_there_are_and_that_the_kind_allows(seed: int) -> None:
    for number, plan in enumerate(plans(seed)):
        for fault in plan:
            lowest = {"workers": 1}.get(KINDS[fault.kind].slots, 0)
            highest = 0 if KINDS[fault.kind].slots == "rank 0" else 1 + number % 3
            assert lowest <= fault.slot <= highest


def test_a_plan_comes_back_as_it_was_left() -> None:
    plan = plan_run(1, 5, 4)
    assert load_plan(dump_plan(plan)) == plan


@pytest.mark.parametrize("text", ["{", "[1]", '[{"kind": "none", "attempt": 1, "slot": 0}]', '[{"kind": "kill"}]'])
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(PlanError):
        load_plan(text)


def test_the_uniform_network_is_the_one_that_is_committed() -> None:
    assert onnx.load(Uniform.path) == uniform_network()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_every_model_of_the_harness_has_inputs_and_truth(model: Model) -> None:
    inputs, expected = model.truth()
    assert inputs
    assert all(np.isfinite(array).all() for array in expected.values())
