from __future__ import annotations

import hashlib
import io
import tracemalloc
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bundle.errors import BundleError, CorruptBundleError
from bundle.shard import ShardWriter, read_shard, tensor_view

_DTYPES = [np.float32, np.float16, np.int64, np.bool_, np.uint8, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn]


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_arrays_of_any_shape_and_dtype_come_back_unchanged(data: st.DataObject) -> None:
    shapes = data.draw(st.lists(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5), max_size=5))
    rng = np.random.default_rng(0)
    arrays = {
        f"t{i}": rng.integers(0, 2, shape).astype(data.draw(st.sampled_from(_DTYPES))) for i, shape in enumerate(shapes)
    }
    file = io.BytesIO()
    writer = ShardWriter(file)
    for name, array in arrays.items():
        writer.add(name, array)
    index = writer.finish()
    assert index.asset.sha256 == hashlib.sha256(file.getvalue()).hexdigest()
    assert index.asset.size_bytes == len(file.getvalue())
    assert all(entry.offset % 64 == 0 for entry in index.entries)
    views = read_shard(file.getvalue(), index.entries)
    for name, array in arrays.items():
        assert views[name].dtype == array.dtype
        np.testing.assert_array_equal(views[name], array)


def test_strided_and_big_endian_arrays_are_stored_in_c_order_little_endian() -> None:
    array = np.arange(24, dtype=">f4").reshape(4, 6)[::-1, ::2].T
    file = io.BytesIO()
    entry = ShardWriter(file).add("a", array)
    view = tensor_view(file.getvalue(), entry)
    assert view is not None
    np.testing.assert_array_equal(view, array)


def test_chunks_make_up_one_tensor_without_being_held_together() -> None:
    rows, columns = 64, 1 << 16  # 16 MB in 64 chunks
    file = _Sink()
    writer = ShardWriter(file)  # type: ignore[arg-type]
    tracemalloc.start()
    writer.add_chunks("w", "float32", (rows, columns), (np.full(columns, i, np.float32) for i in range(rows)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert writer.finish().asset.size_bytes == rows * columns * 4
    assert peak < 2 << 20


def test_packed_dtypes_are_stored_as_bytes_and_left_to_onnxruntime() -> None:
    file = io.BytesIO()
    writer = ShardWriter(file)
    entry = writer.add_chunks("q", "int4", (3, 3), [b"\x10\x32\x54\x76\x08"])
    assert entry.nbytes == 5
    assert read_shard(file.getvalue(), [entry]) == {}


def test_chunks_that_do_not_fit_the_shape_are_refused() -> None:
    writer = ShardWriter(io.BytesIO())
    with pytest.raises(BundleError, match="expected 16 bytes, got 12"):
        writer.add_chunks("w", "float32", (4,), [np.zeros(3, np.float32)])
    with pytest.raises(BundleError, match="expected a chunk of float32, got float64"):
        writer.add_chunks("v", "float32", (4,), [np.zeros(4)])


def test_name_used_twice_is_refused() -> None:
    writer = ShardWriter(io.BytesIO())
    writer.add("w", np.zeros(2))
    with pytest.raises(BundleError, match="'w' was added before"):
        writer.add("w", np.zeros(2))


def test_views_share_memory_with_the_blob_and_cannot_be_written() -> None:
    file = io.BytesIO()
    entry = ShardWriter(file).add("w", np.arange(4.0))
    blob = file.getvalue()
    view = tensor_view(blob, entry)
    assert view is not None
    assert np.shares_memory(view, np.frombuffer(blob, np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1


def test_entries_that_do_not_fit_the_blob_are_refused_before_anything_is_viewed() -> None:
    file = io.BytesIO()
    entry = ShardWriter(file).add("w", np.arange(4.0))
    for wrong in (
        replace(entry, offset=64),
        replace(entry, offset=1),
        replace(entry, shape=(1 << 60,), nbytes=1 << 63),
        replace(entry, shape=(-1, -4)),
        replace(entry, nbytes=24),
        replace(entry, dtype="object"),
    ):
        with pytest.raises(CorruptBundleError):
            tensor_view(file.getvalue(), wrong)


class _Sink:
    def write(self, data: bytes) -> int:
        return len(data)
