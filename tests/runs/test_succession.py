"""One answer per request, whatever dies, comes twice or comes late: the orders that matter, without a cloud."""

from __future__ import annotations

import json
import time
from typing import Any, cast

import numpy as np
import pytest

from bundle.registry import register_model
from bundle.store import S3Store
from partition import compile_to_store
from runs.job import Job
from runs.line import relay
from runs.manifests import cached_manifest
from runs.objects import Objects
from runs.record import RunFiles
from runs.request import decode_inputs, parse_request
from runs.serve import serve
from runs.service import Invocation, Service
from runs.succession import Succession
from runs.tenure import LEASE_S, Tenure, Tenures
from tests.runs.fakes import Clock, FakeCalls, FakeS3, fake_service
from zoo.registry import get_card

RUN = "ab" * 16
HERE = f"runs/{RUN}/"
RESULT = {"request.json", "record.json"}
INPUTS = {"x": [[float(n % 17) for n in range(64)]]}
EVENT: dict[str, Any] = {"model": "alone", "inputs": INPUTS, "run_id": RUN}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a bucket holds with digits-mlp registered for one worker and for two."""
    s3, card = FakeS3(Clock(time.time())), get_card("digits-mlp")
    path = card.build(card.parse({}), tmp_path_factory.mktemp("digits"))
    store = S3Store(cast(Any, s3), "bucket")
    for name, strategy, workers in (("alone", "serial", 1), ("pair", "row", 2)):
        register_model(store, name, compile_to_store(store, path, strategy, workers, name=name))
    return s3.held


class World:
    """A stage with one lane, and processes that come to it."""

    def __init__(self, stored: dict[str, Any]) -> None:
        self.clock = Clock(time.time())
        self.s3, self.calls = FakeS3(self.clock, dict(stored)), FakeCalls()
        self.service: Service = fake_service(self.s3, self.calls)

    def infer(self, event: dict[str, Any]) -> dict[str, Any]:
        """A new process answers an event."""
        return serve(self.service, event, self.invocation())

    def invocation(self) -> Invocation:
        """Of a process that begins now."""
        return Invocation("request", 3008, time.monotonic() + 900)

    def succession(self) -> Succession:
        """The run as a process finds it whose sleeps move the clock."""
        files = RunFiles(Objects(cast(Any, self.s3), "bucket"), RUN)
        return Succession(self.service, files, self.invocation(), self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.clock.now += seconds

    def dies_in_its_first_term(self) -> Job:
        """A driver accepts EVENT and is not heard of again; what it would go on with if it were a zombie."""
        request = parse_request(EVENT)
        files = RunFiles(self.service.objects, RUN)
        manifest = cached_manifest(self.service, self.s3.json("models/alone.json")["bundle_id"])
        deadline = time.time() + request.deadline_s
        assert files.claim(request, deadline, manifest.bundle_id)
        self.clock.now += LEASE_S + 1
        return Job(self.service, files, request, manifest, deadline, self.invocation(), Tenure())

    def drives(self) -> None:
        """A driver that was called goes on with the run, and dies within its term."""
        tenures = Tenures(self.service.objects, RUN)
        former = tenures.current()
        assert former is not None
        assert tenures.take(former, "lost") is not None

    def left(self) -> set[str]:
        """Objects of the run."""
        return self.s3.names(HERE)


@pytest.fixture
def world(stored: dict[str, Any]) -> World:
    """A stage of the test's own."""
    return World(stored)


@pytest.fixture
def expected(world: World) -> Any:
    """The answer's outputs."""
    return world.infer({**EVENT, "run_id": "cd" * 16})["outputs"]


def test_a_request_that_nobody_disturbs_writes_request_and_record_only(world: World, expected: Any) -> None:
    assert world.infer(EVENT)["outputs"] == expected
    assert world.left() == RESULT


def test_an_asynchronous_request_is_driven_by_the_invocation_that_it_starts(world: World, expected: Any) -> None:
    assert world.infer({**EVENT, "async": True})["status"] == "running"
    (event,) = world.calls.invoked
    answer = world.infer(event)
    assert (answer["outputs"], answer["attempts"], answer["calls_complete"]) == (expected, 1, True)
    assert world.left() == RESULT


def test_a_copy_of_an_event_that_comes_after_the_end_has_no_effect(world: World) -> None:
    world.infer({**EVENT, "async": True})
    (event,) = world.calls.invoked
    answer, before = world.infer(event), dict(world.s3.held)
    assert world.infer(event) == answer
    assert world.s3.held == before


def test_a_copy_of_an_event_leaves_where_the_first_one_lives(world: World) -> None:
    world.infer({**EVENT, "async": True})
    world.drives()
    copy, tenures = world.succession(), Tenures(world.service.objects, RUN)

    def renew_meanwhile(seconds: float) -> None:
        world.clock.now += seconds / 2
        current = tenures.current()
        assert current is not None
        tenures.renew(current)
        world.clock.now += seconds / 2

    copy = Succession(copy.service, copy.files, copy.invocation, renew_meanwhile)
    assert copy.resume(1) == {"run_id": RUN, "status": "running"}
    assert "record.json" not in world.left()


def test_lambdas_retry_drives_a_run_again_whose_driver_died(world: World, expected: Any) -> None:
    world.infer({**EVENT, "async": True})
    world.drives()
    answer = world.succession().resume(1)
    assert (answer["outputs"], answer["attempts"], answer["calls_complete"]) == (expected, 2, False)
    assert answer["lost_request_ids"] == ["lost"]
    assert world.left() == RESULT


def test_a_caller_with_the_same_run_id_drives_a_run_again_whose_driver_died(world: World, expected: Any) -> None:
    world.dies_in_its_first_term()
    answer = world.infer(EVENT)
    assert (answer["outputs"], answer["attempts"]) == (expected, 2)
    assert world.left() == RESULT


def test_a_caller_with_the_same_run_id_waits_where_the_driver_lives(world: World) -> None:
    world.dies_in_its_first_term()
    world.clock.now -= LEASE_S
    assert world.infer({**EVENT, "wait_s": 0.5})["status"] == "running"


def test_a_zombie_that_ends_after_its_successor_changes_nothing(world: World) -> None:
    zombie = world.dies_in_its_first_term()
    answer = world.infer(EVENT)
    inputs = decode_inputs(zombie.request, zombie.manifest.inputs)
    assert zombie.run(lambda: inputs, None) == answer
    assert world.left() == RESULT


@pytest.mark.parametrize("ends", ["answers", "fails", "hands over"])
def test_a_zombie_that_wakes_after_the_end_leaves_nothing_of_what_it_sends(world: World, ends: str) -> None:
    zombie = world.dies_in_its_first_term()
    answer = world.infer(EVENT)
    sent = zombie.files.key("x/1-1/0/0/0")

    def inputs() -> Any:
        world.service.objects.put(sent, b"late")
        if ends == "fails":
            raise ValueError("whatever")
        return decode_inputs(zombie.request, zombie.manifest.inputs)

    if ends == "hands over":
        inputs()
        zombie.hand_over()
        (event,) = world.calls.invoked
        assert world.infer(event) == answer
    else:
        assert zombie.run(inputs, None) == answer
    assert world.left() == RESULT


def test_what_comes_between_clean_up_and_record_is_deleted_after_the_record(world: World) -> None:
    zombie = world.dies_in_its_first_term()
    late = zombie.files.key("x/1-1/abort")
    store = world.s3.put_object

    def put_object(**what: Any) -> Any:
        if what["Key"].endswith("record.json"):
            store(late, b"late")
        return store(**what)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.s3, "put_object", put_object)
        world.infer(EVENT)
    assert world.left() == RESULT


def test_a_zombie_that_fails_while_its_successor_computes_writes_no_record(world: World) -> None:
    zombie = world.dies_in_its_first_term()
    world.drives()
    assert zombie.fail(ValueError("whatever"))["status"] == "running"
    assert world.left() == {"request.json", "driver.json"}


def test_a_run_whose_driver_dies_in_every_attempt_ends_with_a_typed_error_and_a_dead_letter(world: World) -> None:
    world.infer({**EVENT, "async": True, "max_attempts": 2})
    for _ in range(2):
        world.drives()
        world.clock.now += LEASE_S + 1
    answer = world.succession().resume(1)
    assert (answer["status"], answer["error"]["type"]) == ("failed", "run_lost")
    assert world.s3.json(f"dead/{RUN}.json")["error"] == answer["error"]
    assert world.left() == RESULT


def test_attempts_that_found_no_slots_do_not_count_when_the_driver_dies(world: World, expected: Any) -> None:
    job = world.dies_in_its_first_term()
    job._tenures.renew(job.tenure, attempt=8, refused=7)
    world.clock.now += LEASE_S + 1
    answer = world.infer(EVENT)
    assert (answer["outputs"], answer["attempts"]) == (expected, 9)
    assert world.left() == RESULT


def test_what_lambda_gives_up_gets_a_record_that_says_so(world: World) -> None:
    world.infer({**EVENT, "async": True})
    payload = {"errorType": "Runtime.OutOfMemory", "errorMessage": "killed"}
    answer = world.infer(
        {"requestContext": {}, "requestPayload": {"resume": RUN, "term": 1}, "responsePayload": payload}
    )
    assert answer["error"]["type"] == "run_lost"
    assert "Runtime.OutOfMemory: killed" in answer["error"]["message"]
    assert world.left() == RESULT


def test_a_run_that_was_cancelled_before_it_was_driven_is_never_driven(world: World) -> None:
    world.infer({**EVENT, "async": True})
    assert world.infer({"cancel": RUN})["status"] == "cancelled"
    (event,) = world.calls.invoked
    assert world.infer(event)["status"] == "cancelled"
    assert world.left() == RESULT
    assert world.s3.names("dead/") == set()


def test_a_driver_of_a_run_that_was_cancelled_writes_no_other_record(world: World) -> None:
    zombie = world.dies_in_its_first_term()
    Tenures(world.service.objects, RUN).cancel()
    assert zombie.fail(ValueError("whatever"))["status"] == "cancelled"
    assert world.left() == RESULT


def test_a_run_that_ends_while_it_is_cancelled_leaves_nothing_either(world: World) -> None:
    driver = world.dies_in_its_first_term()
    world.clock.now -= LEASE_S
    canceller = world.succession()
    inputs = decode_inputs(driver.request, driver.manifest.inputs)
    ends_meanwhile = Succession(
        canceller.service, canceller.files, canceller.invocation, lambda _seconds: _ended(driver, inputs)
    )
    assert ends_meanwhile.cancel()["status"] == "done"
    assert world.left() == RESULT


def _ended(driver: Job, inputs: Any) -> None:
    driver.run(lambda: inputs, None)


def test_a_request_whose_first_write_was_answered_late_is_driven_at_once(world: World, expected: Any) -> None:
    world.s3.lose = True  # the SDK's second try finds the claim of the first one
    answer = world.infer(EVENT)
    assert answer["outputs"] == expected
    assert answer["attempts"] == 1
    assert world.left() == RESULT


def test_a_record_whose_write_was_answered_late_is_the_runs_own(world: World) -> None:
    job = world.dies_in_its_first_term()
    job.tenure = job._tenures.renew(job.tenure)
    assert "driver.json" in world.left()
    world.s3.lose = True
    answer = job._finish({"status": "done", "outputs": {}}, ())
    assert answer["status"] == "done"
    assert world.left() == RESULT


def test_a_run_id_stands_for_one_request(world: World) -> None:
    world.infer(EVENT)
    answer = world.infer({**EVENT, "inputs": {"x": [[0.0] * 64]}})
    assert answer["error"]["type"] == "bad_request"
    assert world.infer(EVENT)["status"] == "done"


def test_an_asynchronous_run_without_a_lane_stands_in_line_until_its_patience_ends(world: World) -> None:
    _take_the_lane(world)
    world.infer({**EVENT, "model": "pair", "async": True, "lane_wait_s": 3600, "deadline_s": 3600})
    event = world.calls.invoked[-1]
    for _ in range(3):
        assert world.infer(event)["status"] == "running"
        assert relay(world.service, {"Records": [{"body": _json(world.calls.queued[-1]["body"])}]}) == [RUN]
        event = world.calls.invoked[-1]
    assert [message["delay_s"] for message in world.calls.queued] == [1, 1, 1]
    assert world.left() == {"request.json", "driver.json", "progress.bin"}


def test_an_asynchronous_run_that_has_waited_long_enough_ends_retryable(world: World) -> None:
    _take_the_lane(world)
    world.infer({**EVENT, "model": "pair", "async": True, "lane_wait_s": 0})
    answer = world.infer(world.calls.invoked[-1])
    assert (answer["error"]["type"], answer["error"]["retry"]) == ("no_free_lane", True)
    assert world.left() == RESULT


@pytest.mark.parametrize(
    "event", [{"cancel": "../.."}, {"cancel": 5}, {"resume": "x", "term": 1}, {"cancel": "0" * 32}]
)
def test_word_of_a_run_that_is_none_is_a_typed_error(world: World, event: dict[str, Any]) -> None:
    assert world.infer(event)["error"]["type"] == "run_not_found"


def _take_the_lane(world: World) -> None:
    held = {"epoch": 1, "run_id": "ef" * 16, "expires_at": world.clock() + 1000}
    world.s3.put_object("lanes/0.json", _json(held).encode())


def _json(document: object) -> str:
    return json.dumps(document)


def test_outputs_are_onnxruntimes(expected: Any) -> None:
    assert np.asarray(expected["y"]).shape == (1, 10)
