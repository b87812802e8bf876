"""Payloads: lossless round trips for every type, small where they can be, bounded whatever they claim."""

from __future__ import annotations

import tracemalloc
import warnings

import ml_dtypes
import numpy as np
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import DTypeLike, NDArray

from channels.codec import Codec
from channels.errors import CodecError
from channels.samples import Known
from channels.tags import Tag
from channels.tensors import LiveTensor
from channels.varint import pack_uints
from engine.tensor_ops import to_dense

LIMIT = 1 << 20
CODEC = Codec(LIMIT)
DTYPES: tuple[DTypeLike, ...] = (
    *("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", "c8", "c16"),
    ml_dtypes.bfloat16,
    ml_dtypes.float8_e4m3fn,
    ml_dtypes.float8_e4m3fnuz,
    ml_dtypes.float8_e5m2,
    ml_dtypes.float8_e5m2fnuz,
    ml_dtypes.int4,
    ml_dtypes.uint4,
    ml_dtypes.float4_e2m1fn,
    ml_dtypes.float6_e2m3fn,
    ml_dtypes.float6_e3m2fn,
    ml_dtypes.float8_e8m0fnu,
    ml_dtypes.int2,
    ml_dtypes.uint2,
)


def decoded_array(payload: bytes) -> NDArray[np.generic]:
    """Decode what must be an array."""
    array = CODEC.decode(payload)
    assert isinstance(array, np.ndarray)
    return array


def assert_same(got: NDArray[np.generic], expected: NDArray[np.generic]) -> None:
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    assert got.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("shape", [(), (0,), (5,), (0, 4), (3, 1, 2), (40, 50)])
def test_every_type_and_shape_survives(dtype: DTypeLike, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    assert_same(decoded_array(CODEC.encode(array)), array)


@given(hnp.arrays(st.sampled_from(["<f4", "<i8", "<f2", "<c8"]), hnp.array_shapes(min_dims=0, max_side=9)))
@settings(max_examples=150, deadline=None)
def test_any_bits_survive(array: NDArray[np.generic]) -> None:
    assert_same(decoded_array(CODEC.encode(array)), array)


@given(hnp.arrays(np.object_, hnp.array_shapes(min_dims=0, max_side=5), elements=st.text(max_size=9)))
@settings(max_examples=100, deadline=None)
def test_strings_survive(array: NDArray[np.object_]) -> None:
    if any("\ud800" <= c <= "\udfff" for s in array.reshape(-1) for c in s):
        with pytest.raises(CodecError):
            CODEC.encode(array)
    else:
        got = decoded_array(CODEC.encode(array))
        assert got.shape == array.shape
        assert got.tolist() == array.tolist()


def test_views_that_are_not_contiguous_or_big_endian_survive_as_values() -> None:
    array = np.arange(60, dtype=np.int32).reshape(6, 10)
    for view in (array.T, array[::2, ::-3], array[:, 3:4], array.astype(">i4")):
        got = decoded_array(CODEC.encode(view))
        assert got.dtype == np.int32
        assert got.tolist() == view.tolist()


def live_tensor(live: list[int], total: int, features: int = 3) -> LiveTensor:
    """Make a LiveTensor with these live samples."""
    values = np.random.default_rng(0).random((features, len(live)), dtype=np.float32)
    return LiveTensor(values, np.array(live, dtype=np.int32), total)


@given(
    st.integers(0, 400).flatmap(
        lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)) if n else st.just(set()))
    )
)
@example((0, set()))
@example((70_000, {0, 69_999}))
@example((700, {0, 699}))
@example((1 << 19, set(range(0, 1 << 19, 300))))
@settings(max_examples=150, deadline=None)
def test_live_samples_survive(case: tuple[int, set[int]]) -> None:
    total, live = case
    tensor = live_tensor(sorted(live), total)
    got = CODEC.decode(CODEC.encode(tensor))
    assert isinstance(got, LiveTensor)
    assert_same(got.values, tensor.values)
    assert_same(got.samples, tensor.samples)
    assert got.total == total


@pytest.mark.parametrize(
    ("live", "most_bytes"),
    [(range(10_000), 0), (range(0, 10_000, 2), 1250), (range(5, 10_000, 30), 334), (range(0, 10_000, 5000), 4)],
)
def test_sample_numbers_take_few_bytes(live: range, most_bytes: int) -> None:
    size = len(CODEC.encode(live_tensor(list(live), 10_000, features=0)))
    assert size <= 16 + most_bytes


@pytest.mark.parametrize(("samples", "total"), [([3, 3], 5), ([4, 3], 5), ([5], 5), ([-1], 5), ([0], 0)])
def test_samples_that_are_not_ascending_within_the_total_are_refused(samples: list[int], total: int) -> None:
    with pytest.raises(CodecError, match="strictly ascending"):
        CODEC.encode(live_tensor(samples, total))


def test_samples_that_the_receiver_knows_are_not_sent() -> None:
    alive = np.flatnonzero(np.random.default_rng(0).random(10_000) < 0.034).astype(np.int32)
    known = Known(Tag(3), alive)
    same = LiveTensor(np.zeros((0, known.samples.size), np.float32), known.samples, 10_000)
    fewer = live_tensor(known.samples[5:].tolist(), 10_000, features=0)
    other = live_tensor([1, 5], 10_000, features=0)
    sizes = [len(CODEC.encode(tensor, known)) - len(CODEC.encode(tensor)) for tensor in (same, fewer, other)]
    assert sizes[0] < -alive.size * 0.9
    assert sizes[1] < -alive.size * 0.7
    assert sizes[2] == 0
    for tensor in (same, fewer, other):
        got = CODEC.decode(CODEC.encode(tensor, known), {Tag(3): known.samples}.__getitem__)
        assert isinstance(got, LiveTensor)
        assert_same(got.samples, tensor.samples)


def test_samples_that_nobody_knows_are_refused() -> None:
    tensor = live_tensor(list(range(0, 900, 30)), 1000)
    payload = CODEC.encode(tensor, Known(Tag(3), tensor.samples))
    with pytest.raises(CodecError, match="refers to the samples of step 3 micro-batch 0"):
        CODEC.decode(payload)
    with pytest.raises(CodecError, match="expected 30 samples"):
        CODEC.decode(payload, lambda _tag: tensor.samples[:4])


@pytest.mark.parametrize("value", [0.0, -0.0, 32.0, np.nan])
def test_one_value_for_all_takes_the_bytes_of_one(value: float) -> None:
    array = np.full((30, 337), value, np.float32)
    payload = CODEC.encode(array)
    assert len(payload) <= 20
    assert_same(decoded_array(payload), array)


def test_a_live_tensor_whose_parts_disagree_is_refused() -> None:
    wrong = LiveTensor(np.zeros((3, 2), np.float32), np.array([1], dtype=np.int32), 5)
    with pytest.raises(CodecError, match=r"\(3, 2\) and \(1,\)"):
        CODEC.encode(wrong)


def test_repetitive_tensors_are_compressed_and_noise_is_not() -> None:
    noise = np.random.default_rng(0).integers(0, 256, 200_000, dtype=np.uint8)
    assert len(CODEC.encode(np.ones(200_000, dtype=np.uint8))) < 1000
    assert len(CODEC.encode(noise)) < noise.nbytes + 64


def saturated_tensor(dtype: DTypeLike, frequent: float, size: int, share: float = 0.6) -> NDArray[np.generic]:
    """Noise in which one value is frequent; no other one is twice there."""
    rng = np.random.default_rng(size)
    noise = rng.random(size) * 31 + 0.5
    return np.where(rng.random(size) < share, frequent, noise).astype(dtype)


@pytest.mark.parametrize("size", [200, 3000, 100_003])
@pytest.mark.parametrize("frequent", [0.0, -0.0, 32.0, np.inf, np.nan, 7.0])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i4", "u8", "c8", ml_dtypes.bfloat16])
def test_tensors_with_a_frequent_value_survive(dtype: DTypeLike, frequent: float, size: int) -> None:
    with np.errstate(invalid="ignore"), warnings.catch_warnings(action="ignore"):
        array = saturated_tensor(dtype, frequent, size)
    assert_same(decoded_array(CODEC.encode(array)), array)


@pytest.mark.parametrize("size", [3000, 100_003])
@pytest.mark.parametrize("frequent", [0.0, 32.0])
def test_a_frequent_value_takes_a_bit(frequent: float, size: int) -> None:
    array = saturated_tensor("f4", frequent, size)
    others = np.count_nonzero(array != frequent)
    assert len(CODEC.encode(array)) <= 64 + size / 8 + 4 * others


def test_saturated_live_tensor_survives_with_its_samples() -> None:
    samples = np.flatnonzero(np.random.default_rng(0).random(9000) < 0.1).astype(np.int32)
    values = saturated_tensor("f4", 32, 16 * samples.size).reshape(16, -1)
    payload = CODEC.encode(LiveTensor(values, samples, 9000))
    got = CODEC.decode(payload)
    assert isinstance(got, LiveTensor)
    assert_same(got.values, values)
    assert_same(got.samples, samples)
    assert len(payload) < values.nbytes * 0.45 + 2000


def test_a_masked_value_at_the_limit_is_sent_and_above_it_is_not() -> None:
    CODEC.decode(CODEC.encode(saturated_tensor("f4", 0, LIMIT // 4)))
    with pytest.raises(CodecError, match=f"at most {LIMIT} bytes"):
        CODEC.encode(saturated_tensor("f4", 0, LIMIT // 4 + 1))


def test_an_uncompressed_tensor_is_a_view_of_its_payload() -> None:
    payload = CODEC.encode(np.random.default_rng(0).integers(0, 256, 5000, dtype=np.uint8))
    got = decoded_array(payload)
    assert np.shares_memory(got, np.frombuffer(payload, dtype=np.uint8))
    assert not got.flags.writeable


@pytest.mark.parametrize(
    "wrong", [np.array([None], dtype=object), np.array([b"x"], dtype=object), np.array(["2020"], "M8[D]")]
)
def test_types_that_do_not_travel_are_refused(wrong: NDArray[np.generic]) -> None:
    with pytest.raises(CodecError, match="expected"):
        CODEC.encode(wrong)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
@settings(max_examples=60, deadline=None)
def test_json_survives(value: object) -> None:
    assert CODEC.decode_json(CODEC.encode_json(value)) == value


@pytest.mark.parametrize("value", [float("nan"), object(), {1, 2}])
def test_what_is_no_json_is_refused(value: object) -> None:
    with pytest.raises(CodecError, match="JSON"):
        CODEC.encode_json(value)


def test_a_tensor_is_not_json_nor_json_a_tensor() -> None:
    with pytest.raises(CodecError, match="expected JSON, got kind 1"):
        CODEC.decode_json(CODEC.encode(np.zeros(3)))
    with pytest.raises(CodecError, match="expected a tensor, got kind 3"):
        CODEC.decode(CODEC.encode_json({}))


def test_json_nested_beyond_the_stack_is_refused() -> None:
    deep = b"[" * 100_000
    with pytest.raises(CodecError, match="expected JSON"):
        CODEC.decode_json(payload_of(3, 0, 0, 0, (), len(deep), 0, deep))


def payload_of(
    kind: int,
    dtype: int,
    compression: int,
    samples: int,
    shape: tuple[int, ...],
    size: int,
    total: int,
    body: bytes,
    packing: int = 0,
) -> bytes:
    """Write a payload by hand, as an attacker would."""
    return pack_uints((kind, dtype, compression, packing, samples, len(shape), size, total, *shape)) + body


def zstd_bomb(size: int) -> bytes:
    """Compress zeros: a megabyte to some fifty bytes."""
    return zstandard.ZstdCompressor().compress(bytes(size))


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "expected a number of 64 bits at byte 0 of 0"),
        (payload_of(9, 1, 0, 0, (1,), 4, 0, b"1234"), "got kind 9"),
        (payload_of(1, 99, 0, 0, (1,), 4, 0, b"1234"), "unknown element type 99"),
        (payload_of(1, 1, 7, 0, (1,), 4, 0, b"1234"), "unknown compression 7"),
        (payload_of(1, 1, 0, 0, (2,), 4, 0, b"1234"), "got 4 bytes"),
        (payload_of(1, 1, 0, 0, (1,), 8, 0, b"1234"), "expected 8 bytes, got 4"),
        (payload_of(1, 1, 0, 0, (1 << 60, 0), 0, 0, b""), "at most"),
        (payload_of(1, 8, 0, 0, ((1 << 64) - 1, 0), 0, 0, b""), "at most"),
        (payload_of(1, 1, 0, 0, (1,) * 65, 4, 0, b"1234"), "at most 64 dimensions, got 65"),
        (payload_of(1, 1, 0, 0, (1 << 40,), 1 << 42, 0, b""), f"at most {LIMIT} bytes"),
        (payload_of(1, 1, 1, 0, (1,), 4, 0, b"no zstd frame"), "corrupt zstd"),
        (payload_of(1, 2, 1, 0, (100,), 100, 0, zstd_bomb(1 << 24)), "of 100 bytes, got one of 16777216"),
        (payload_of(1, 2, 1, 0, (100,), 100, 0, zstd_bomb(100) + b"tail"), "corrupt zstd"),
        (payload_of(1, 8, 0, 0, (1 << 15,), 4, 0, b"\0\0\0\0"), "at most"),
        (payload_of(1, 8, 0, 0, (2,), 4, 0, b"\0\0\0\0"), "lengths of 2 strings"),
        (payload_of(1, 8, 0, 0, (1,), 5, 0, b"\2\0\0\0a"), "do not add up"),
        (payload_of(1, 8, 0, 0, (1,), 5, 0, b"\1\0\0\0\xff"), "no utf-8"),
        (payload_of(2, 1, 0, 0, (0, 1 << 30), 0, 1 << 30, b""), "at most"),
        (payload_of(2, 1, 0, 0, (0, 2), 0, 3, b""), "2 live samples of 3"),
        (payload_of(2, 1, 0, 1, (0, 2), 1, 8, b"\x80"), "expected 2 samples below 8, got 1"),
        (payload_of(2, 1, 0, 2, (0, 2), 2, 3, b"\x01\x01"), "expected 2 samples below 3"),
        (payload_of(2, 1, 0, 9, (0, 2), 2, 3, b"\x01\x01"), "unknown sample code 9"),
        (payload_of(2, 1, 0, 2, (2,), 2, 3, b"\x01\x01"), "of 2 dimensions"),
        (payload_of(2, 1, 0, 4, (0, 2), 2, 3, b"\x01\x01"), "too few"),
        (payload_of(1, 1, 0, 0, (1,), 4, 0, b"1234", packing=3), "unknown packing 3"),
        (payload_of(1, 1, 0, 0, (9,), 5, 0, b"1234\0", packing=1), "expected a mask of 9 elements"),
        (payload_of(1, 1, 0, 0, (1,), 5, 0, b"1234\x80", packing=1), "wants 1 elements, got 0 bytes"),
        (payload_of(1, 1, 0, 0, (1,), 9, 0, b"1234\x001234", packing=1), "wants 0 elements, got 4 bytes"),
        (payload_of(1, 2, 0, 0, (1,), 2, 0, b"1\0", packing=1), "of 2, 4 or 8 bytes"),
        (payload_of(1, 8, 0, 0, (1,), 2, 0, b"1\0", packing=1), "unknown element type 8"),
        (payload_of(1, 1, 0, 0, (9,), 5, 0, b"12345", packing=2), "expected one element"),
        (payload_of(1, 2, 0, 0, (9,), 1, 0, b"1", packing=2), "expected one element of 2, 4 or 8 bytes"),
        (payload_of(1, 1, 0, 0, (1 << 19,), 4, 0, bytes(4), packing=2), f"at most {LIMIT} bytes, got one of {1 << 21}"),
        (payload_of(2, 1, 0, 5, (0, 2), 0, 3, bytes(2)), "refers to the samples of step 0"),
        (payload_of(1, 1, 0, 0, (1 << 19,), 8, 0, bytes(8), packing=1), f"at most {LIMIT} bytes, got one of {1 << 21}"),
    ],
)
def test_payloads_that_contradict_themselves_are_refused(payload: bytes, message: str) -> None:
    with pytest.raises(CodecError, match=message):
        CODEC.decode(payload)


def test_a_value_above_the_limit_is_not_sent() -> None:
    with pytest.raises(CodecError, match=f"at most {LIMIT} bytes, got one of {LIMIT + 1}"):
        CODEC.encode(np.zeros(LIMIT + 1, dtype=np.uint8))
    CODEC.decode(CODEC.encode(np.zeros(LIMIT, dtype=np.uint8)))


SEEDS = [
    CODEC.encode(np.arange(12, dtype=np.float32).reshape(3, 4)),
    CODEC.encode(np.ones((40, 40), dtype=np.float32)),
    CODEC.encode(np.array(["abc", "é"], dtype=object)),
    CODEC.encode(live_tensor([1, 5, 9], 100)),
    CODEC.encode(live_tensor(list(range(0, 400, 2)), 400)),
    CODEC.encode(saturated_tensor(np.float32, 32, 300)),
    CODEC.encode(
        LiveTensor(saturated_tensor(np.float32, 32, 400).reshape(2, 200), np.arange(200, dtype=np.int32), 900)
    ),
]


@given(st.sampled_from(SEEDS), st.data())
@settings(max_examples=600, deadline=None)
def test_mutants_decode_or_are_refused_within_the_bound(seed: bytes, data: st.DataObject) -> None:
    mutant = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 4))):
        mutant[data.draw(st.integers(0, len(mutant) - 1))] = data.draw(st.integers(0, 255))
    mutant = mutant[: data.draw(st.integers(0, len(mutant)))] if data.draw(st.booleans()) else mutant
    assert peak_bytes_of_decoding(bytes(mutant)) <= 4 * LIMIT


def peak_bytes_of_decoding(payload: bytes) -> int:
    """Decode, or be refused; return the memory that it took at most."""
    tracemalloc.start()
    try:
        CODEC.decode(payload)
    except CodecError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


def test_a_live_tensor_of_one_value_is_a_view_of_it_when_decoded() -> None:
    live = LiveTensor(np.full((50, 300), 32, np.float32), np.arange(0, 600, 2, dtype=np.int32), 600)
    codec = Codec(1 << 20)
    got = codec.decode(codec.encode(live))
    assert isinstance(got, LiveTensor)
    assert np.array_equal(got.values, live.values)
    assert got.values.strides == (0, 0)
    assert codec.encode(got) == codec.encode(live)
    assert to_dense(got).tolist() == to_dense(live).tolist()
