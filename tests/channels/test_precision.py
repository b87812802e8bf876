"""Floats in fewer bits: how far they are off, what stays as it is, and what is refused."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from bundle.manifest import PRECISIONS as NAMES
from channels.codec import Codec
from channels.errors import CodecError, ConfigError
from channels.precision import PRECISIONS, precision_code
from channels.tensors import LiveTensor
from channels.varint import pack_uints

LIMIT = 1 << 20


def sent(array: NDArray[Any], precision: str) -> tuple[NDArray[Any], int]:
    """What arrives of an array, and the payload's bytes."""
    codec = Codec(LIMIT)
    codec.precision = precision_code(precision)
    payload = codec.encode(array)
    got = Codec(LIMIT).decode(payload)
    assert isinstance(got, np.ndarray)
    assert (got.dtype, got.shape) == (array.dtype, array.shape)
    return got, len(payload)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("precision", "relative", "bytes_each"), [("fp16", 2.0**-11, 2), ("bf16", 2.0**-8, 2)])
def test_smaller_floats_are_off_by_half_a_last_bit(
    dtype: type[np.floating], precision: str, relative: float, bytes_each: int
) -> None:
    array = (np.random.default_rng(0).standard_normal((30, 50)) * 10).astype(dtype)
    got, size = sent(array, precision)
    assert (np.abs(got - array) <= relative * np.abs(array) + 1e-7).all()
    assert size <= bytes_each * array.size + 20


def test_int8_is_off_by_half_a_step_of_the_largest() -> None:
    array = np.random.default_rng(0).standard_normal((30, 50)).astype(np.float32)
    got, size = sent(array, "int8")
    assert np.abs(got - array).max() <= np.abs(array).max() / 254 * 1.001
    assert size <= array.size + 24
    zeros, _ = sent(np.zeros((3, 4), np.float32), "int8")
    assert not zeros.any()


@pytest.mark.parametrize(
    ("precision", "array"),
    [
        ("fp16", np.array([1.0, 1e6], np.float32)),
        ("int8", np.array([1.0, np.nan], np.float32)),
        ("int8", np.array([1.0, np.inf], np.float32)),
        ("bf16", np.arange(9)),
        ("fp16", np.array([0.1], ml_dtypes.bfloat16)),
        ("int8", np.zeros((0, 3), np.float32)),
        ("exact", np.array([0.1, np.nan], np.float32)),
    ],
)
def test_what_the_smaller_type_cannot_hold_travels_as_it_is(precision: str, array: NDArray[np.generic]) -> None:
    assert sent(array, precision)[0].tobytes() == array.tobytes()


def test_fp16_keeps_nan_and_infinities() -> None:
    got, _ = sent(np.array([np.nan, np.inf, -np.inf, -0.0], np.float32), "fp16")
    assert np.array_equal(got, [np.nan, np.inf, -np.inf, -0.0], equal_nan=True)


@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8"])
def test_live_tensors_keep_their_samples_and_saturated_values(precision: str) -> None:
    codec = Codec(LIMIT)
    codec.precision = precision_code(precision)
    live = LiveTensor(np.full((8, 40), 32, np.float32), np.arange(0, 400, 10, dtype=np.int32), 999)
    got = codec.decode(codec.encode(live))
    assert isinstance(got, LiveTensor)
    assert np.array_equal(got.values, live.values)
    assert np.array_equal(got.samples, live.samples)


def test_names_are_those_of_the_manifest_and_others_are_refused() -> None:
    assert tuple(PRECISIONS) == NAMES
    with pytest.raises(ConfigError, match="expected one of exact, fp16, bf16, int8, got 'fp8'"):
        precision_code("fp8")


@pytest.mark.parametrize(
    ("dtype", "precision", "count", "body", "message"),
    [
        (1, 4, 2, b"1234", "unknown precision 4"),
        (2, 1, 2, b"1234", "unknown precision 1"),
        (1, 1, 2, b"123", "expected elements of float16, got 3 bytes"),
        (1, 1, 2, b"12", "got 4 bytes"),
        (1, 3, 2, b"123", "expected elements of int8, got 3 bytes"),
        (1, 3, LIMIT, b"1234", "at most"),
    ],
)
def test_payloads_that_contradict_themselves_are_refused(
    dtype: int, precision: int, count: int, body: bytes, message: str
) -> None:
    head = pack_uints((1, dtype, 0, 8 * precision, 0, 1, len(body), 0, count))
    with pytest.raises(CodecError, match=message):
        Codec(LIMIT).decode(head + body)
