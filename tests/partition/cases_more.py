"""Cases of quantised, blocked and image ops, and of ops that touch some axes only; see tests.partition.cases."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.partition.cases import _SCALE, _ZERO, X3, Golden, X, _bytes, _case, _floats

_MS = "com.microsoft"
_K, _N, _BLOCK, _BLOCKS = 64, 6, 16, 4
_PACKED, _SCALES = _bytes(_N, _BLOCKS, _BLOCK // 2), _floats(_N, _BLOCKS)
_BITS: dict[str, Any] = {"N": _N, "K": _K, "block_size": _BLOCK, "domain": _MS, "weights": (1, 2, 3)}
_INPUT = _floats(5, _K)

BLOCKED = [
    Golden(
        _case("MatMulNBits", _INPUT, _PACKED, _SCALES, bits=4, **_BITS),
        "a (q 16), n q p, n q -> a n; reduce q: sum; whole p; row n; column q; units n: N; units q: K",
    ),
    Golden(
        _case("MatMulNBits", _floats(2, 3, _K), _PACKED, _SCALES.reshape(-1), bits=4, **_BITS),
        "a b (q 16), n q p, (n q) -> a b n; reduce q: sum; whole p; row n; column q; units n: N; units q: K",
    ),
    Golden(
        _case("MatMulNBits", _INPUT, _PACKED, _SCALES.reshape(-1), _bytes(_N * 2), bits=4, **_BITS),
        "a (q 16), n q p, (n q), (n z) -> a n; whole p q z; row n; units n: N",
    ),
    Golden(
        _case("MatMulNBits", _INPUT, _PACKED, _SCALES, _bytes(_N, 2), bits=4, **_BITS),
        "a (q 16), n q p, n q, n z -> a n; whole p q z; row n; units n: N",
    ),
    Golden(
        _case("MatMulNBits", _INPUT, _bytes(_N, _BLOCKS, _BLOCK), _SCALES, _bytes(_N, _BLOCKS), bits=8, **_BITS),
        "a (q 16), n q p, n q, n q -> a n; reduce q: sum; whole p; row n; column q; units n: N; units q: K",
    ),
    Golden(
        _case("DequantizeLinear", _bytes(6, _K), _floats(6, 4), _bytes(6, 4), axis=1, block_size=16, version=21),
        "a (b 16), a b, a b -> a (b 16)",
    ),
]

_PAIR = (_SCALE, _ZERO)
_IMAGE = _bytes(3, 4, 6, 6)
_PER_COLUMN = (_floats(4, low=0.1), np.zeros(4, np.uint8))
QLINEAR = [
    *(
        Golden(
            _case(op, _bytes(5, 7), *_PAIR, _bytes(7), *_PAIR, *_PAIR, domain=_MS), "a b, -, -, b, -, -, -, - -> a b"
        )
        for op in ("QLinearAdd", "QLinearMul")
    ),
    *(
        Golden(_case(op, _bytes(5, 7), *_PAIR, *_PAIR, domain=_MS), "a b, -, -, -, - -> a b")
        for op in ("QLinearLeakyRelu", "QLinearSigmoid")
    ),
    Golden(
        _case("QLinearWhere", _bytes(5, 7) > 100, _bytes(5, 7), *_PAIR, _bytes(7), *_PAIR, *_PAIR, domain=_MS),
        "a b, a b, -, -, b, -, -, -, - -> a b",
    ),
    Golden(
        _case("QLinearSoftmax", _bytes(5, 7), *_PAIR, *_PAIR, axis=-1, opset=13, domain=_MS),
        "a b, -, -, -, - -> a b; whole b; guard a",
    ),
    Golden(
        _case("QLinearAveragePool", _IMAGE, *_PAIR, *_PAIR, kernel_shape=[3, 3], domain=_MS),
        "n c x0 x1, -, -, -, - -> n c y0 y1; whole x0 x1; solid c",
    ),
    Golden(
        _case("QLinearGlobalAveragePool", _IMAGE, *_PAIR, *_PAIR, domain=_MS),
        "n c x0 x1, -, -, -, - -> n c 1 1; whole x0 x1; solid c",
    ),
    Golden(
        _case("QLinearConcat", *_PAIR, _bytes(5, 7), *_PAIR, _bytes(5, 4), *_PAIR, axis=1, domain=_MS),
        "-, -, a x0, -, -, a x1, -, - -> a y; whole x0 x1",
    ),
    Golden(
        _case(
            "QGemm",
            _bytes(5, 7),
            *_PAIR,
            _bytes(4, 7),
            *_PER_COLUMN,
            np.arange(4, dtype=np.int32),
            *_PAIR,
            transB=1,
            domain=_MS,
            weights=(3, 4, 5, 6),
        ),
        "m k, -, -, n k, n, n, n, -, - -> m n; whole k; row n; solid m n",
    ),
    Golden(
        _case("DynamicQuantizeMatMul", X, _bytes(7, 4), *_PER_COLUMN, _floats(4), domain=_MS, weights=(1, 2, 3, 4)),
        "m k, k n, n, n, n -> m n; whole k m; row n; solid n",
    ),
]

_FEATURES, _PLACES = _floats(3, 4, 6, 6), _floats(3, 5, 5, 2, low=-1, high=1)
_REGIONS = np.array([[0, 0, 4, 4], [1, 1, 5, 5], [0, 2, 3, 5], [1, 0, 2, 6], [0, 0, 6, 6]], np.float32)
VISION = [
    Golden(
        _case("GridSample", _FEATURES, _PLACES, version=20),
        "n c x0 x1, n y0 y1 two -> n c y0 y1; whole two x0 x1; solid c n y0 y1",
    ),
    Golden(
        _case("RoiAlign", _FEATURES, _REGIONS, np.array([0, 2, 1, 0, 2]), output_height=2, output_width=2),
        "n c x0 x1, r four, r -> r c y0 y1; whole four n x0 x1; guard r",
    ),
    Golden(
        _case("Col2Im", _floats(3, 16, 9), np.array([6, 6]), np.array([2, 2]), strides=[2, 2], constants=(1, 2)),
        "n (c 4) l, -, - -> n c y0 y1; whole l; guard n",
    ),
    Golden(
        _case(
            "DeformConv", _FEATURES, _floats(5, 4, 3, 3), _floats(3, 18, 4, 4), _floats(5), version=19, weights=(1, 3)
        ),
        "n c x0 x1, m c k0 k1, n o y0 y1, m -> n m y0 y1; whole c k0 k1 o x0 x1 y0 y1; row m; solid m; guard n",
    ),
    Golden(_case("CenterCropPad", X3, np.array([2, 9]), axes=[1, 2], constants=(1,)), "a b c, - -> a y1 y2; whole b c"),
]

_ONE, _CACHE = np.array(1), _floats(3, 4, 6, 5)
SOME_AXES = [
    Golden(_case("CumProd", X, _ONE, version=26, constants=(1,)), "a b, - -> a y1; whole b"),
    Golden(_case("Trilu", X3), "a b c -> a y1 y2; whole b c; linear 0"),
    Golden(
        _case("DFT", _floats(3, 4, 5, 2), None, _ONE, version=20, constants=(2,)),
        "a b c d, -, - -> a y1 c y3; whole b d",
    ),
    Golden(
        _case("ReverseSequence", _floats(4, 3, 5), np.array([1, 2, 4]), time_axis=0, batch_axis=1),
        "a b c, b -> y0 b c; whole a",
    ),
    Golden(
        _case("TensorScatter", _CACHE, _CACHE[:, :, :2], np.array([0, 1, 2]), axis=-2, version=24),
        "a b c d, a b s d, a -> a b y2 d; whole c s",
    ),
    Golden(_case("Det", _floats(3, 4, 4)), "a b c -> a; whole b c"),
    Golden(
        _case("OneHot", np.arange(15).reshape(3, 5) % 4, np.array(4), np.array([0, 1], np.float32), axis=1),
        "a b, -, - -> a y b",
    ),
    Golden(
        _case("Slice", X3, np.array([1]), np.array([4]), np.array([1]), constants=(3,)),
        "a b c, -, -, - -> a y1 c; whole b; linear 0",
    ),
    Golden(_case("Slice", X3, np.array([0]), np.array([2])), "a b c, -, - -> y0 b c; whole a; linear 0"),
    Golden(_case("Flatten", _floats(3, 5, 4, 2), axis=2), "a b c d -> (a b) (c d); linear 0"),
    Golden(
        _case("GatherND", X3, np.array([[[4]], [[0]], [[2]]]), batch_dims=1), "d0 d1 d2, d0 b k -> d0 b d2; whole d1 k"
    ),
]

_CAUSES: dict[str, Any] = {"coefficients": [1.0, -2.0, 0.5, 3.0, 2.0, -1.0, 1.5, 0.1], "intercepts": [0.5, -0.5]}
_TREE: dict[str, Any] = {
    "n_targets": 1,
    "nodes_falsenodeids": [2, 0, 0],
    "nodes_featureids": [1, 0, 0],
    "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
    "nodes_nodeids": [0, 1, 2],
    "nodes_treeids": [0, 0, 0],
    "nodes_truenodeids": [1, 0, 0],
    "nodes_values": [0.1, 0.0, 0.0],
}
_MACHINE: dict[str, Any] = {
    "coefficients": [1.0, -1.0],
    "kernel_type": "LINEAR",
    "kernel_params": [0.5, 0.0, 3.0],
    "n_supports": 2,
    "rho": [0.1],
    "support_vectors": [1.0, 2.0, 3.0, 4.0, 4.0, 3.0, 2.0, 1.0],
}
_ML, _ROWS, _BY_ROW = "ai.onnx.ml", _floats(5, 4), "n f -> n y; whole f"
ROWWISE = [
    Golden(
        _case("Scaler", _ROWS, offset=[1.0, 2.0, 3.0, 4.0], scale=[1.0, 2.0, 3.0, 4.0], domain=_ML),
        "n f -> n f; whole f",
    ),
    Golden(
        _case(
            "Imputer",
            _ROWS.clip(max=1),
            imputed_value_floats=[5.0, 6.0, 7.0, 8.0],
            replaced_value_float=1.0,
            domain=_ML,
        ),
        "n f -> n f; whole f",
    ),
    Golden(_case("Normalizer", _ROWS, norm="L2", domain=_ML), _BY_ROW),
    Golden(_case("Binarizer", _ROWS, threshold=0.1, domain=_ML), "a b -> a b"),
    Golden(
        _case("LabelEncoder", np.arange(20).reshape(5, 4) % 3, keys_int64s=[0, 1], values_int64s=[7, 8], domain=_ML),
        "a b -> a b",
    ),
    Golden(_case("LinearRegressor", _ROWS, targets=2, domain=_ML, **_CAUSES), _BY_ROW),
    Golden(
        _case(
            "LinearClassifier",
            _ROWS,
            classlabels_ints=[3, 4],
            post_transform="SOFTMAX",
            outputs=2,
            domain=_ML,
            **_CAUSES,
        ),
        "n f -> n, n y; whole f",
    ),
    Golden(
        _case(
            "TreeEnsembleRegressor",
            _ROWS,
            target_ids=[0, 0],
            target_nodeids=[1, 2],
            target_treeids=[0, 0],
            target_weights=[1.0, 2.0],
            domain=_ML,
            **_TREE,
        ),
        _BY_ROW,
    ),
    Golden(
        _case(
            "TreeEnsembleClassifier",
            _ROWS,
            class_ids=[0, 1],
            class_nodeids=[1, 2],
            class_treeids=[0, 0],
            class_weights=[1.0, 1.0],
            classlabels_int64s=[3, 4],
            outputs=2,
            domain=_ML,
            **{name: value for name, value in _TREE.items() if name != "n_targets"},
        ),
        "n f -> n, n y; whole f",
    ),
    Golden(_case("SVMRegressor", _ROWS, domain=_ML, **_MACHINE), _BY_ROW),
]

_TWO, _HIDDEN = np.array([[1, 1, 1, 0, 0]] * 3, np.int32), _bytes(24, 72)
FURTHER_FUSED = [
    Golden(
        _case(
            "QAttention",
            _bytes(3, 5, 24),
            _HIDDEN,
            _floats(72),
            _SCALE,
            _SCALE,
            _TWO,
            _ZERO,
            _ZERO,
            num_heads=6,
            domain=_MS,
            weights=(1, 2),
        ),
        "b s i, i (3 h 4), (3 h 4), -, -, b n, -, - -> b s (h 4); whole i n s; row h; units h: num_heads; guard b",
    ),
    Golden(
        _case("FusedConv", _FEATURES, _floats(5, 4, 3, 3), _floats(5), activation="Relu", domain=_MS, weights=(1, 2)),
        "n c x0 x1, m c k0 k1, m -> n m y0 y1; whole c k0 k1 x0 x1; row m; solid m",
    ),
    Golden(
        _case(
            "MatMulIntegerToFloat",
            _bytes(5, 7),
            _bytes(7, 4),
            _SCALE,
            _PER_COLUMN[0],
            _ZERO,
            _PER_COLUMN[1],
            _floats(4),
            domain=_MS,
            weights=(1,),
        ),
        "m k, k n, -, n, -, n, n -> m n; whole k; row n; solid m n",
    ),
    Golden(
        _case("SkipLayerNormalization", X3, _floats(1, 5, 7), _floats(7), domain=_MS),
        "a b c, 1 b c, - -> a b c; whole c",
    ),
    Golden(
        _case("SkipLayerNormalization", X3, _floats(5, 7), _floats(7), domain=_MS), "a b c, b c, - -> a b c; whole c"
    ),
]

FURTHER = [*BLOCKED, *QLINEAR, *VISION, *SOME_AXES, *ROWWISE, *FURTHER_FUSED]
