"""What `infer` accepts, and the one line it gives to the rest."""

from __future__ import annotations

import io
import json
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bundle.manifest import TensorSpec
from runs.errors import BadRequest
from runs.npz import read_npz
from runs.request import Request, check_outputs, decode_inputs, parse_request, run_id_of
from runs.values import dump_npz, from_json, load_npz, to_json

X = TensorSpec("x", "float32", ("n", 3))
IDS = TensorSpec("ids", "int64", ("n",))


def test_what_is_no_tensor_does_not_travel_in_requests() -> None:
    sequence = TensorSpec("s", "seq(float32)", ())
    with pytest.raises(BadRequest, match="requests carry tensors only"):
        decode_inputs(_request(s=[[1.0]]), [sequence])
    with pytest.raises(BadRequest, match="answers carry tensors only"):
        check_outputs((), [X, sequence])
    check_outputs(("x",), [X, sequence])


def test_a_request_comes_back_from_its_json() -> None:
    request = Request("m", inputs={"x": [[1, 2, 3]]}, run_id="0" * 32, wait_s=3, channel="object", outputs=("y",))
    assert parse_request(json.loads(json.dumps(request.to_json()))) == request


def test_a_request_without_run_id_gets_one_of_its_own() -> None:
    event = {"model": "m", "inputs": {"x": [1]}}
    assert parse_request(event).run_id != parse_request(event).run_id


def test_an_idempotency_key_stands_for_one_run_id() -> None:
    event = {"model": "m", "inputs": {"x": [1]}, "idempotency_key": "order 7", "max_usd": 0.5}
    request = parse_request(event)
    assert request.run_id == parse_request(event).run_id == run_id_of("order 7") != run_id_of("order 8")
    assert parse_request(json.loads(json.dumps(request.to_json()))) == request
    assert request.max_usd == 0.5


@pytest.mark.parametrize("model", ["m", "my.model-2_b", "m@5", "m@5c1d09aa", "m@" + "0" * 32])
def test_a_model_is_a_name_or_one_of_its_versions(model: str) -> None:
    request = parse_request({"model": model, "inputs": {"x": [1]}})
    assert request.model == model
    assert parse_request(request.to_json()) == request


@pytest.mark.parametrize("model", ["", "M", "@5c", "m@", "m@5C", "m@../x", "m@5@6", "../m", "m@" + "0" * 33, "m\n"])
def test_what_is_no_name_of_a_model_is_one_line(model: str) -> None:
    with pytest.raises(BadRequest, match=r"^model: expected a model's name, [^\n]+$"):
        parse_request({"model": model, "inputs": {"x": [1]}})


@pytest.mark.parametrize(
    "field",
    [
        {"idempotency_key": "k" * 257},
        {"idempotency_key": "a\nb"},
        {"idempotency_key": 7},
        {"idempotency_key": "k", "run_id": "0" * 32},
        {"max_usd": -1},
        {"max_usd": True},
        {"max_usd": "free"},
        {"max_usd": float("nan")},
    ],
)
def test_a_key_or_budget_that_is_none_is_one_line(field: dict[str, object]) -> None:
    with pytest.raises(BadRequest, match=r"^(idempotency_key|max_usd): [^\n]+$"):
        parse_request({"model": "m", "inputs": {"x": [1]}, **field})


def test_an_asynchronous_request_is_answered_at_once_and_stands_in_line_for_longer() -> None:
    event = {"model": "m", "inputs": {"x": [1]}, "run_id": "0" * 32}
    request = parse_request(event | {"async": True})
    assert request.wait_s == 0
    assert request.lane_wait_s > parse_request(event).lane_wait_s
    assert parse_request(event | {"async": True, "lane_wait_s": 3}).lane_wait_s == 3
    assert parse_request(event | {"async": False}) == parse_request(event)
    assert parse_request(request.to_json()) == request


@pytest.mark.parametrize(
    ("event", "pattern"),
    [
        ([], "object"),
        ({"model": "m"}, "exactly one of"),
        ({"model": "m", "inputs": {"x": 1}, "inputs_npz": "AA=="}, "exactly one of"),
        ({"model": "M", "inputs": {"x": 1}}, "model: expected"),
        ({"model": "m", "inputs": [1]}, "inputs: expected an object"),
        ({"model": "m", "inputs": {"x": 1}, "run_id": "xyz"}, "run_id: expected 32 hex"),
        ({"model": "m", "inputs": {"x": 1}, "wait_s": -1}, "wait_s: expected seconds"),
        ({"model": "m", "inputs": {"x": 1}, "wait_s": True}, "wait_s: expected seconds"),
        ({"model": "m", "inputs": {"x": 1}, "wait_s": float("nan")}, "wait_s: expected seconds"),
        ({"model": "m", "inputs": {"x": 1}, "channel": "pigeon"}, "channel: unknown 'pigeon'; known: queue, object"),
        ({"model": "m", "inputs": {"x": 1}, "outputs": "y"}, "outputs: expected a list"),
        ({"model": "m", "inputs": {"x": 1}, "speed": 9}, "unknown field 'speed'"),
        ({"model": "m", "inputs": {"x": 1}, "async": 1}, "async: expected true or false"),
        ({"model": "m", "inputs": {"x": 1}, "async": True, "wait_s": 5}, "async: .* answered at once, got wait_s=5"),
        ({"model": "m", "inputs": {"x": 1}, "max_attempts": 0}, "max_attempts: expected a whole number from 1 to 10"),
        ({"model": "m", "inputs": {"x": 1}, "max_attempts": 1.5}, "max_attempts: expected a whole number"),
    ],
)
def test_wrong_events_say_what_was_expected(event: object, pattern: str) -> None:
    with pytest.raises(BadRequest, match=pattern) as error:
        parse_request(event)
    assert "\n" not in str(error.value)


def _request(**inputs: object) -> Request:
    return Request("m", inputs=inputs)


def test_numbers_become_the_inputs_dtype() -> None:
    arrays = decode_inputs(_request(x=[[1, 2.5, 3]], ids=[7]), [X, IDS])
    assert arrays["x"].dtype == np.float32
    assert arrays["ids"].tolist() == [7]


@pytest.mark.parametrize(
    ("inputs", "pattern"),
    [
        ({"x": [[1, 2, 3]]}, "'ids' is missing"),
        ({"x": [[1, 2, 3]], "ids": [1], "z": 1}, "'z': the model takes 'x', 'ids'"),
        ({"x": [[1, 2]], "ids": [1]}, r"expected shape \[n, 3\], got \[1, 2\]"),
        ({"x": [[1, 2, 3], [1]], "ids": [1]}, "ragged"),
        ({"x": [[1, 2, 3]], "ids": [1.5]}, "int64 elements, got float64"),
        ({"x": [[1, 2, 3]], "ids": [2**70]}, "int64"),
        ({"x": [[1, 2, 3]], "ids": [True]}, "booleans"),
        ({"x": [["a", "b", "c"]], "ids": [1]}, "float32 elements, got text"),
        ({"x": [[1, 2, 3]], "ids": [1, 2]}, "n is 2 here and 1 in input 'x'"),
        ({"x": np.zeros((0, 3)).tolist(), "ids": []}, "expected shape"),
    ],
)
def test_wrong_inputs_say_what_was_expected(inputs: dict[str, Any], pattern: str) -> None:
    with pytest.raises(BadRequest, match=pattern):
        decode_inputs(_request(**inputs), [X, IDS])


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(BadRequest, match="at least one element along n"):
        decode_inputs(Request("m", inputs_npz="-"), [X], dump_npz({"x": np.zeros((0, 3), np.float32)}))


def test_an_npz_must_have_the_exact_dtype() -> None:
    with pytest.raises(BadRequest, match="expected dtype float32, got float64"):
        decode_inputs(Request("m", inputs_npz="-"), [X], dump_npz({"x": np.zeros((1, 3))}))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\x93NUMPY", bytes(100)])
def test_bytes_that_are_no_npz_are_refused(data: bytes) -> None:
    with pytest.raises(BadRequest, match="npz"):
        load_npz(data, {}, "inputs")


def test_an_npz_of_objects_is_refused() -> None:
    import io

    buffer = io.BytesIO()
    np.savez(buffer, x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(BadRequest, match="objects"):
        load_npz(buffer.getvalue(), {}, "inputs")


def test_an_output_that_the_model_lacks_is_refused() -> None:
    with pytest.raises(BadRequest, match="'z': the model has 'x'"):
        check_outputs(("z",), [X])


@given(hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, max_side=4), elements=st.floats(width=32)))
def test_floats_survive_json_with_nan_and_infinities(array: np.ndarray[Any, Any]) -> None:
    spec = TensorSpec("x", "float32", tuple("" for _ in array.shape))
    back = from_json(spec, json.loads(json.dumps(to_json(array), allow_nan=False)))
    np.testing.assert_array_equal(back, array)


def test_bfloat16_and_strings_survive_an_npz() -> None:
    arrays = {
        "b": np.array([1.5, -2], dtype=ml_dtypes.bfloat16),
        "s": np.array([["a", "bc"]], dtype=object),
        "f": np.array(3.0, np.float16),
    }
    specs = {"b": TensorSpec("b", "bfloat16", (2,)), "s": TensorSpec("s", "string", (1, 2))}
    back = load_npz(dump_npz(arrays), specs, "inputs")
    assert {name: (back[name].dtype, back[name].tolist()) for name in arrays} == {
        name: (array.dtype, array.tolist()) for name, array in arrays.items()
    }


@pytest.mark.parametrize("name", ["y", "file", "allow_pickle", "a/b", "ä"])
def test_an_npz_is_numpys_under_any_name(name: str) -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    data = dump_npz({name: array, "zeros": np.zeros((1000, 1000))})
    assert len(data) < 100_000
    with np.load(io.BytesIO(data)) as loaded:
        assert sorted(loaded.files) == sorted([name, "zeros"])
        np.testing.assert_array_equal(loaded[name], array)
        assert loaded[name].dtype == array.dtype
    assert read_npz(data, 1 << 24)[name].tolist() == array.tolist()
