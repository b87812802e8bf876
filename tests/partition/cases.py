"""One case or more for every op that has a rule, with the text that its rule must give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.partition.oracle import Case

Array = NDArray[Any]


@dataclass(frozen=True)
class Golden:
    """A case, the text of its rule, and the divisions that the rule is known to leave out."""

    case: Case
    text: str
    tolerated: tuple[tuple[int | None, ...], ...] = ()


def _floats(*shape: int, low: float = -3.0, high: float = 3.0) -> Array:
    rng = np.random.default_rng(sum(shape) + len(shape))
    return rng.uniform(low, high, shape).astype(np.float32)


def _ints(*shape: int, high: int = 9) -> Array:
    return np.random.default_rng(sum(shape)).integers(1, high, shape)


def _bools(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).integers(0, 2, shape).astype(np.bool_)


def _bytes(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).integers(0, 255, shape).astype(np.uint8)


def _case(op: str, *inputs: Array | None, version: int = 18, **more: Any) -> Case:
    known = {name: more.pop(name) for name in ("outputs", "constants", "weights", "domain") if name in more}
    return Case(op, inputs, more, version=version, **known)


X, Y, ROW = _floats(5, 7), _floats(5, 7, low=0.5), _floats(7, low=0.5)
X3 = _floats(3, 5, 7)
_SCALE, _ZERO = np.array(0.1, np.float32), np.array(3, np.uint8)
AXIS1 = np.array([1])
_A, _AB = "a b -> a b", "a b, a b -> a b"

_FLOAT_UNARY = [
    "Abs",
    "Atan",
    "Ceil",
    "Celu",
    "Cos",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Mish",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
    "Cosh",
    "Asinh",
    "IsNaN",
    "IsInf",
]
_UNIT_UNARY = ["Acos", "Asin", "Atanh"]
_POSITIVE_UNARY = ["Log", "Sqrt"]
_BOOL_BINARY = ["And", "Or", "Xor"]
_COMPARE = [
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Max",
    "Mean",
    "Min",
    "Pow",
    "Div",
    "Sum",
    "PRelu",
]

UNARY = [
    *(Golden(_case(op, X), _A) for op in _FLOAT_UNARY),
    *(Golden(_case(op, _floats(5, 7, low=-0.9, high=0.9)), _A) for op in _UNIT_UNARY),
    *(Golden(_case(op, Y), _A) for op in _POSITIVE_UNARY),
    Golden(_case("Acosh", _floats(5, 7, low=1.1)), _A),
    Golden(_case("Gelu", X, version=20), _A),
    Golden(_case("Not", _bools(5, 7)), _A),
    Golden(_case("BitwiseNot", _ints(5, 7)), _A),
    Golden(_case("Cast", X, to=11), _A),
    Golden(_case("Identity", X), f"{_A}; linear 0"),
    Golden(_case("Neg", X), f"{_A}; linear 0"),
    Golden(_case("Clip", X, np.array(0, np.float32), np.array(1, np.float32), constants=(1, 2)), "a b, -, - -> a b"),
    Golden(_case("Dropout", X), _A),
]

BINARY = [
    *(Golden(_case(op, _bools(5, 7), _bools(5, 7)), _AB) for op in _BOOL_BINARY),
    *(Golden(_case(op, Y, Y + 1), _AB) for op in _COMPARE),
    *(Golden(_case(op, _ints(5, 7), _ints(5, 7)), _AB) for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor", "Mod")),
    Golden(
        _case("BitShift", _ints(5, 7).astype(np.uint8), _ints(5, 7, high=3).astype(np.uint8), direction="LEFT"), _AB
    ),
    Golden(_case("Add", X, ROW), "a b, b -> a b; linear 0 1"),
    Golden(_case("Add", X, Y), f"{_AB}; linear 0 1"),
    Golden(_case("Sub", X, _floats(5, 1)), "a b, a 1 -> a b; linear 0 1"),
    Golden(_case("Mul", X, np.array(3, np.float32)), "a b, - -> a b; linear 0 | 1"),
    Golden(_case("Mul", _floats(5, 1), _floats(1, 7)), "a 1, 1 b -> a b; linear 0 | 1"),
    Golden(_case("Where", _bools(5, 7), X, ROW), "a b, a b, b -> a b"),
]

MATMUL = [
    Golden(_case("MatMul", X, _floats(7, 4)), "m k, k n -> m n; reduce k: sum; linear 0 | 1; solid k"),
    Golden(
        _case("MatMul", X, _floats(7, 4), weights=(1,)),
        "m k, k n -> m n; reduce k: sum; row n; column k; linear 0 | 1; solid k",
    ),
    Golden(
        _case("MatMul", _floats(4, 5), X, weights=(0,)),
        "m k, k n -> m n; reduce k: sum; row m; column k; linear 0 | 1; solid k",
    ),
    Golden(_case("MatMul", X3, _floats(7, 4)), "a m k, k n -> a m n; reduce k: sum; linear 0 | 1; solid k"),
    Golden(
        _case("MatMul", X, _floats(3, 7, 4), weights=(1,)),
        "m k, a k n -> a m n; reduce k: sum; row n; column k; linear 0 | 1; solid a k",
    ),
    Golden(_case("MatMul", X3, _floats(3, 7, 4)), "a m k, a k n -> a m n; reduce k: sum; linear 0 | 1; solid k"),
    Golden(
        _case("MatMul", _floats(1, 3, 5, 7), _floats(2, 1, 7, 4)),
        "1 b m k, a 1 k n -> a b m n; reduce k: sum; linear 0 | 1; solid a b k",
        tolerated=((None, 0),),
    ),
    Golden(_case("MatMul", _floats(7), _floats(7, 4)), "k, k n -> n; reduce k: sum; linear 0 | 1; solid k"),
    Golden(_case("MatMul", X, _floats(7)), "m k, k -> m; reduce k: sum; linear 0 | 1; solid k m"),
]

NORMALISED = [
    Golden(_case("Softmax", X, axis=-1), "a b -> a b; whole b"),
    Golden(_case("Softmax", X3, axis=1), "a b c -> a b c; whole b"),
    Golden(_case("Softmax", X3, version=11, axis=1), "a b c -> a b c; whole b c"),
    Golden(_case("LogSoftmax", X, axis=0), "a b -> a b; whole a"),
    Golden(_case("Hardmax", X, axis=-1), "a b -> a b; whole b"),
    Golden(_case("LayerNormalization", X3, ROW, ROW, axis=-1), "a b c, -, - -> a b c; whole c"),
    Golden(_case("LayerNormalization", X3, ROW, axis=2, outputs=3), "a b c, - -> a b c, a b 1, a b 1; whole c"),
    Golden(_case("RMSNormalization", X3, ROW, version=23, axis=-1), "a b c, - -> a b c; whole c"),
]

_SUMS = ("ReduceL1", "ReduceSumSquare")
_OTHERS = ("ReduceL2", "ReduceLogSum", "ReduceLogSumExp")
_COMBINED = (("ReduceMax", "max"), ("ReduceMin", "min"), ("ReduceProd", "prod"))
REDUCTIONS = [
    *(Golden(_case(op, Y, AXIS1, constants=(1,)), "a b, - -> a 1; reduce b: sum") for op in _SUMS),
    *(Golden(_case(op, Y, AXIS1, constants=(1,)), "a b, - -> a 1; whole b") for op in _OTHERS),
    *(Golden(_case(op, Y, AXIS1, constants=(1,)), f"a b, - -> a 1; reduce b: {how}; solid b") for op, how in _COMBINED),
    Golden(_case("ReduceMean", X, AXIS1, constants=(1,)), "a b, - -> a 1; whole b; linear 0"),
    Golden(_case("ReduceSum", X, AXIS1, constants=(1,)), "a b, - -> a 1; reduce b: sum; linear 0"),
    Golden(_case("ReduceSum", X3, AXIS1, constants=(1,), keepdims=0), "a b c, - -> a c; reduce b: sum; linear 0"),
    Golden(_case("ReduceSum", X), "a b -> 1 1; reduce a: sum; reduce b: sum; linear 0"),
    Golden(_case("ReduceMax", X, version=13, axes=[0], keepdims=0), "a b -> b; reduce a: max; solid a"),
    Golden(_case("ReduceMax", -X3), "a b c -> 1 1 1; reduce a: max; reduce b: max; reduce c: max; solid a b c"),
    Golden(_case("ArgMax", X, axis=1), "a b -> a 1; whole b"),
    Golden(_case("ArgMin", X, axis=0, keepdims=0), "a b -> b; whole a"),
]

LAYOUT = [
    Golden(_case("Transpose", X3, perm=[2, 0, 1]), "a b c -> c a b; linear 0"),
    Golden(_case("Transpose", X), "a b -> b a; linear 0"),
    Golden(_case("Flatten", X3), "a b c -> a (b c); linear 0"),
    Golden(
        _case("Reshape", _floats(5, 6), np.array([0, 2, 3]), constants=(1,)),
        "a (y1 y2), - -> a y1 y2; linear 0; solid y1 y2; sizes 1",
    ),
    Golden(
        _case("Reshape", _floats(5, 6), np.array([0, -1]), constants=(1,)),
        "a b, - -> a b; linear 0; solid a; sizes 1",
        tolerated=((0, None), (1, None)),
    ),
    Golden(_case("Squeeze", _floats(5, 1, 7), AXIS1, constants=(1,)), "a 1 c, - -> a c; linear 0"),
    Golden(_case("Unsqueeze", X, AXIS1, constants=(1,)), "a b, - -> a 1 b; linear 0"),
    Golden(_case("Concat", X, _floats(5, 4), axis=1), "a x0, a x1 -> a y; whole x0 x1; linear 0 1"),
    Golden(_case("Gather", X, np.array([[0, 2], [4, 1], [1, 1]])), "d0 d1, a b -> a b d1; whole d0; linear 0"),
    Golden(
        _case("Gather", X, np.array([[0, -2], [4, 3], [-5, 1]]), weights=(0,)),
        "d0 d1, a b -> a b d1; reduce d0: sum; row d1; column d0; linear 0; solid d0; places d0: 1",
    ),
    Golden(_case("Gather", X3, np.array([0, 2, 4]), axis=1), "d0 d1 d2, a -> d0 a d2; whole d1; linear 0"),
]

_W, _DEPTHWISE, _GROUPED = _floats(5, 4, 3, 3), _floats(6, 1, 3, 3), _floats(12, 2, 3, 3)
_IMAGE, _SIX = _floats(3, 4, 6, 6), _floats(3, 6, 6, 6)
_SPACE = "whole k0 k1 x0 x1"
CONV = [
    Golden(
        _case("Conv", _IMAGE, _W),
        f"n c x0 x1, m c k0 k1 -> n m y0 y1; reduce c: sum; {_SPACE}; linear 0 | 1; solid c m",
    ),
    Golden(
        _case("Conv", _IMAGE, _W, _floats(5), weights=(1, 2), strides=[2, 2], pads=[1, 1, 1, 1]),
        "n c x0 x1, m c k0 k1, m -> n m y0 y1; whole c k0 k1 x0 x1; row m; solid m",
    ),
    Golden(
        _case("Conv", _SIX, _DEPTHWISE, _floats(6), group=6, weights=(1, 2)),
        "n c x0 x1, c i k0 k1, c -> n c y0 y1; whole i k0 k1 x0 x1; row c; column c; units c: group",
    ),
    Golden(
        _case("Conv", _floats(3, 12, 6, 6), _GROUPED, group=6),
        "n (c 2) x0 x1, (c 2) i k0 k1 -> n (c 2) y0 y1; whole i k0 k1 x0 x1; linear 0 | 1; units c: group",
    ),
    Golden(
        _case("ConvTranspose", _IMAGE, _floats(4, 5, 3, 3), weights=(1,)),
        f"n c x0 x1, c m k0 k1 -> n m y0 y1; reduce c: sum; {_SPACE}; row m; column c; linear 0 | 1; solid c m",
    ),
    Golden(
        _case("ConvTranspose", _SIX, _floats(6, 2, 3, 3), _floats(12), group=6),
        "n c x0 x1, c i k0 k1, (c 2) -> n (c 2) y0 y1; whole i k0 k1 x0 x1; units c: group",
    ),
    Golden(
        _case("ConvInteger", _bytes(3, 4, 6, 6), _bytes(5, 4, 3, 3), np.array(3, np.uint8), weights=(1,)),
        f"n c x0 x1, m c k0 k1, - -> n m y0 y1; reduce c: sum; {_SPACE}; row m; column c; solid c m",
    ),
    Golden(
        _case(
            "QLinearConv",
            _bytes(3, 4, 6, 6),
            _SCALE,
            _ZERO,
            _bytes(5, 4, 3, 3),
            _floats(5, low=0.1),
            np.zeros(5, np.uint8),
            _SCALE,
            _ZERO,
            weights=(3,),
        ),
        "n c x0 x1, -, -, m c k0 k1, m, m, -, - -> n m y0 y1; whole c k0 k1 x0 x1; row m; solid m",
    ),
]

_MEAN = _floats(4, low=0.5)
POOLING = [
    *(
        Golden(_case(op, _IMAGE, kernel_shape=[3, 3]), "n c x0 x1 -> n c y0 y1; whole x0 x1; solid c")
        for op in ("LpPool", "MaxPool")
    ),
    Golden(_case("AveragePool", _IMAGE, kernel_shape=[3, 3]), "n c x0 x1 -> n c y0 y1; whole x0 x1; linear 0; solid c"),
    *(
        Golden(_case(op, _IMAGE), "n c x0 x1 -> n c 1 1; whole x0 x1; solid c")
        for op in ("GlobalLpPool", "GlobalMaxPool")
    ),
    Golden(_case("GlobalAveragePool", _IMAGE), "n c x0 x1 -> n c 1 1; whole x0 x1; linear 0; solid c"),
    Golden(
        _case("BatchNormalization", _IMAGE, _MEAN, _MEAN, _MEAN, _MEAN, weights=(1, 2, 3, 4)),
        "n c x0 x1, c, c, c, c -> n c x0 x1; row c; column c",
    ),
    Golden(_case("InstanceNormalization", _IMAGE, _MEAN, _MEAN), "n c x0 x1, c, c -> n c x0 x1; whole x0 x1"),
    Golden(
        _case("GroupNormalization", _SIX, _floats(6), _floats(6), num_groups=6, version=21, weights=(1, 2)),
        "n c x0 x1, c, c -> n c x0 x1; whole x0 x1; row c; column c; units c: num_groups; guard n",
    ),
    Golden(_case("LRN", _IMAGE, size=3), "a b c d -> a b c d; whole b"),
    Golden(_case("LpNormalization", X, axis=1), "a b -> a b; whole b"),
    Golden(_case("MeanVarianceNormalization", _IMAGE), "a b c d -> a b c d; whole a c d"),
]

GOLDEN = [*UNARY, *BINARY, *MATMUL, *NORMALISED, *REDUCTIONS, *LAYOUT, *CONV, *POOLING]
