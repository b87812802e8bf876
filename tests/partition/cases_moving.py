"""Cases of ops that move, index, quantise or name their axes themselves; see tests.partition.cases."""

from __future__ import annotations

import numpy as np

from tests.partition.cases import _SCALE, _ZERO, X3, Golden, X, _bytes, _case, _floats

_1 = np.array([1])
_PLACES = np.array([[0, 2, 4], [1, 1, 0], [3, 2, 1], [0, 0, 4], [2, 1, 3]])  # [5, 3] of 7
_ROWS = np.array([[4], [0], [2]])
_PER_COLUMN, _ZEROS = _floats(7, low=0.1), np.zeros(7, np.uint8)

MOVING = [
    Golden(
        _case("Slice", X3, _1, np.array([4]), _1, constants=(1, 2, 3)),
        "a b c, -, -, - -> a y1 c; whole b; linear 0",
    ),
    Golden(_case("Slice", X3, version=9, axes=[2], starts=[0], ends=[-1]), "a b c -> a b y2; whole c; linear 0"),
    Golden(
        _case("Split", X, np.array([3, 4]), axis=1, outputs=2, constants=(1,)),
        "a b, - -> a y1, a y1; whole b; linear 0",
    ),
    Golden(_case("Pad", X3, np.array([0, 1, 0, 0, 2, 0]), constants=(1,)), "a b c, - -> a y1 c; whole b"),
    Golden(_case("Pad", X3, np.array([1, 1]), None, _1, constants=(1, 3)), "a b c, -, -, - -> a y1 c; whole b"),
    Golden(_case("Tile", X, np.array([1, 3]), constants=(1,)), "a b, - -> a y1; whole b; linear 0"),
    Golden(_case("Expand", _floats(5, 1), np.array([2, 1, 7]), constants=(1,)), "a b, - -> y0 a y2; whole b; linear 0"),
    Golden(_case("DepthToSpace", _floats(5, 8, 5, 7), blocksize=2), "a b c d -> a y1 y2 y3; whole b c d; linear 0"),
    Golden(_case("SpaceToDepth", _floats(5, 3, 10, 14), blocksize=2), "a b c d -> a y1 y2 y3; whole b c d; linear 0"),
    Golden(
        _case("Resize", _floats(5, 3, 5, 7), None, np.array([1, 1, 2, 1.2], np.float32), constants=(2,)),
        "a b c d, -, - -> a b y2 y3; whole c d",
    ),
    Golden(
        _case("Resize", _floats(5, 3, 5, 7), None, None, np.array([5, 3, 9, 4]), mode="linear", constants=(3,)),
        "a b c d, -, -, - -> a b y2 y3; whole c d; solid a b; sizes 3",
    ),
    Golden(
        _case("Resize", _floats(5, 3, 5, 7), None, None, np.array([9, 4]), mode="cubic", axes=[2, 3], constants=(3,)),
        "a b c d, -, -, - -> a b y2 y3; whole c d",
    ),
    Golden(
        _case("Upsample", _floats(5, 3, 5, 7), np.array([1, 1, 2, 2], np.float32), version=9, constants=(1,)),
        "a b c d, - -> a b y2 y3; whole c d",
    ),
    Golden(_case("CumSum", X, np.array(1), constants=(1,)), "a b, - -> a y1; whole b; linear 0"),
    Golden(_case("TopK", X, np.array([2]), outputs=2, constants=(1,)), "a b, - -> a y1, a y1; whole b"),
    Golden(_case("CastLike", X, np.array(1, np.int64)), "a b, - -> a b"),
]

INDEXING = [
    Golden(_case("GatherElements", X, _PLACES, axis=1, constants=(1,)), "a b, a i -> a i; whole b"),
    Golden(_case("ScatterElements", X, _PLACES, _floats(5, 3), axis=1), "a b, a i, a i -> a b; whole b i"),
    Golden(_case("Scatter", X, _PLACES, _floats(5, 3), axis=1, version=10), "a b, a i, a i -> a b; whole b i"),
    Golden(_case("GatherND", X, _ROWS), "d0 d1, a k -> a d1; whole d0 k"),
    Golden(_case("ScatterND", X, _ROWS, _floats(3, 7)), "d0 d1, a k, a d1 -> d0 d1; whole a d0 k"),
]

EINSUM = [
    Golden(
        _case("Einsum", X3, _floats(7, 4), equation="abk,kn->abn", weights=(1,)),
        "a b k, k n -> a b n; reduce k: sum; row n; column k; linear 0 | 1; solid k",
    ),
    Golden(
        _case("Einsum", X3, _floats(3, 4, 7), equation="bqd,bkd"),
        "b q d, b k d -> k q; reduce b: sum; reduce d: sum; linear 0 | 1; solid b d",
    ),
    Golden(_case("Einsum", X, equation="ij->ji"), "i j -> j i; linear 0"),
]

QUANTIZED = [
    Golden(_case("QuantizeLinear", X, _SCALE, _ZERO), "a b, -, - -> a b"),
    Golden(_case("QuantizeLinear", X, _PER_COLUMN, _ZEROS, axis=-1), "a b, b, b -> a b"),
    Golden(_case("DequantizeLinear", _bytes(5, 7), _PER_COLUMN, _ZEROS, axis=1), "a b, b, b -> a b"),
    Golden(
        _case("MatMulInteger", _bytes(5, 7), _bytes(7, 4), np.array(3, np.uint8), np.zeros(4, np.uint8)),
        "m k, k n, -, n -> m n; reduce k: sum; solid k n",
    ),
    Golden(
        _case("QLinearMatMul", _bytes(5, 7), _SCALE, _ZERO, _bytes(7, 4), _SCALE, _ZERO, _SCALE, _ZERO, weights=(3,)),
        "m k, -, -, k n, -, -, -, - -> m n; whole k; row n; solid n",
    ),
]

MORE = [*MOVING, *INDEXING, *EINSUM, *QUANTIZED]
