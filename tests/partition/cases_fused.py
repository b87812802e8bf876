"""Cases of attention, recurrent cells and fused ops; see tests.partition.cases."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.partition.cases import X3, Golden, X, _case, _floats

_MS = "com.microsoft"
_X4, _KV = _floats(3, 6, 5, 4), _floats(3, 6, 7, 4)
_FLAT = _floats(3, 5, 24)
_FEATURES = _floats(7)
_ANGLES, _PLACES = _floats(9, 2), np.arange(15).reshape(3, 5) % 9
_HEADS = {"q_num_heads": 6, "kv_num_heads": 6}
_B = np.array([4, 2, 3], np.int32)

FUSED = [
    *(Golden(_case(op, X, domain=_MS), "a b -> a b") for op in ("Gelu", "QuickGelu")),
    *(Golden(_case(op, X, _FEATURES, domain=_MS), "a b, b -> a b") for op in ("FastGelu", "BiasGelu")),
    Golden(
        _case("SkipLayerNormalization", X3, X3, _FEATURES, domain=_MS),
        "a b c, a b c, - -> a b c; whole c",
    ),
    Golden(
        _case("SkipSimplifiedLayerNormalization", X3, X3, _FEATURES, domain=_MS),
        "a b c, a b c, - -> a b c; whole c",
    ),
    Golden(
        _case("FusedMatMul", X, _floats(4, 7), transB=1, alpha=0.5, domain=_MS, weights=(1,)),
        "m k, n k -> m n; reduce k: sum; row n; column k; linear 0 | 1; solid k n",
    ),
]

ATTENTION = [
    Golden(
        _case("Attention", _X4, _KV, _KV, version=23),
        "b h q d, b h k d, b h k e -> b h q e; whole d k; solid e h; guard b q",
    ),
    Golden(
        _case("Attention", _FLAT, _FLAT, _FLAT, version=23, is_causal=1, **_HEADS),
        "b q h, b k h, b k h -> b q h; whole h k q; guard b",
    ),
    Golden(
        _case("Attention", _X4, _KV, _KV, _floats(1, 6, 5, 7), version=23),
        "b h q d, b h k d, b h k e, 1 h q n -> b h q e; whole d k n; solid e h; guard b q",
    ),
    Golden(
        _case("MultiHeadAttention", _FLAT, _FLAT, _FLAT, num_heads=6, domain=_MS),
        "b q (h 4), b k (h 4), b k (h 4) -> b q (h 4); whole k; units h: num_heads; guard b q",
    ),
    Golden(
        _case("RotaryEmbedding", _X4, _ANGLES, _ANGLES, _PLACES, version=23),
        "b h s d, -, -, b s -> b h s d; whole d; solid h; guard b s",
    ),
    Golden(
        _case("RotaryEmbedding", _FLAT, _ANGLES, _ANGLES, _PLACES, version=23, num_heads=6),
        "b s (h 4), -, -, b s -> b s (h 4); units h: num_heads; guard b s",
    ),
    Golden(
        _case("RotaryEmbedding", _X4, _PLACES, _ANGLES, _ANGLES, domain=_MS),
        "b h s d, b s, -, - -> b h s d; whole d; solid h; guard b s",
    ),
]
_BIAS, _ADDED = _floats(72), _floats(3, 6, 5, 5)
_PADDING = np.array([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1], [1, 1, 0, 0, 0]], np.int32)
ATTENTION += [
    Golden(
        _case("MultiHeadAttention", _FLAT, _FLAT, _FLAT, _BIAS, _PADDING, _ADDED, num_heads=6, domain=_MS),
        "b q (h 4), b k (h 4), b k (h 4), (3 h 4), b n, b h q n -> b q (h 4); whole k n; units h: num_heads; guard b q",
    ),
    Golden(
        _case("Attention", _FLAT, _floats(24, 72), _BIAS, _PADDING, num_heads=6, domain=_MS, weights=(1, 2)),
        "b s i, i (3 h 4), (3 h 4), b n -> b s (h 4); whole i n s; row h; units h: num_heads; guard b",
    ),
    Golden(
        _case(
            "GroupQueryAttention",
            _floats(4, 1, 48),
            _floats(4, 1, 24, low=-2),
            _floats(4, 1, 24),
            _floats(4, 3, 5, 8, low=-1),
            _floats(4, 3, 5, 8),
            np.full(4, 5, np.int32),
            np.array(6, np.int32),
            num_heads=6,
            kv_num_heads=3,
            outputs=3,
            domain=_MS,
        ),
        "b s (g 16), b s (g 8), b s (g 8), b g p d, b g p d, b, - -> b s (g 16), b g t d, b g t d; "
        "whole d p s t; units g: num_heads kv_num_heads; guard b",
    ),
]
_START = np.array([2])
ATTENTION.append(
    Golden(
        _case("RotaryEmbedding", _X4, _START, _ANGLES, _ANGLES, domain=_MS),
        "b h s d, -, -, - -> b h s d; whole d s; solid h; guard b",
    )
)

_THREE, _PAST = _floats(3, 3, 7, 4), _floats(3, 3, 2, 4)
_LENGTHS, _VISIBLE = np.array([3, 7, 5]), np.arange(35).reshape(5, 7) % 3 > 0
ATTENTION += [
    Golden(
        _case("Attention", _X4, _THREE, _THREE, _VISIBLE, version=23),
        "b (h 2) q d, b h k d, b h k e, q n -> b (h 2) q e; whole d k n; solid e h; guard b q",
    ),
    Golden(
        _case("Attention", _X4, _THREE, _THREE, _floats(1, 6, 5, 9), _PAST, _PAST, version=23, outputs=4),
        "b (h 2) q d, b h k d, b h k e, 1 (h 2) q n, b h p d, b h p e -> "
        "b (h 2) q e, b h t d, b h t e, b (h 2) q n; whole d k n p t; solid e h q; guard b",
    ),
    Golden(
        _case("Attention", _X4, _THREE, _THREE, None, None, None, _LENGTHS, version=24, is_causal=1),
        "b (h 2) q d, b h k d, b h k e, -, -, -, b -> b (h 2) q e; whole d k q; solid e h; guard b",
    ),
    Golden(
        _case("Attention", _X4, _KV, _KV, _floats(6, 5, 7), version=23, qk_matmul_output_mode=2, softcap=2.0),
        "b h q d, b h k d, b h k e, h q n -> b h q e; whole d k n; solid e h; guard b q",
    ),
    Golden(
        _case("MultiHeadAttention", _FLAT, _KV, _KV, None, None, _floats(1, 6, 5, 7), num_heads=6, domain=_MS),
        "b q (h 4), b h k d, b h k e, -, -, 1 h q n -> b q (h 4); whole d k n; solid e; units h: num_heads; guard b q",
    ),
    Golden(
        _case(
            "GroupQueryAttention",
            _floats(4, 5, 48),
            _floats(4, 5, 24),
            _floats(4, 5, 24),
            None,
            None,
            np.full(4, 4, np.int32),
            np.array(5, np.int32),
            None,
            None,
            None,
            _floats(4, 6, 5, 5),
            num_heads=6,
            kv_num_heads=3,
            outputs=3,
            domain=_MS,
        ),
        "b s (g 16), b s (g 8), b s (g 8), -, -, b, -, -, -, -, b (g 2) q n -> b s (g 16), b g t d, b g t d; "
        "whole d n q s t; units g: num_heads kv_num_heads; guard b",
    ),
]

_CACHE, _SEEN, _TOTAL = _floats(4, 3, 2, 8), np.full(4, 2, np.int32), np.array(3, np.int32)
_GROUPED: dict[str, Any] = {"kv_num_heads": 3, "outputs": 3, "domain": _MS}
ATTENTION += [
    Golden(
        _case(
            "GroupQueryAttention", _floats(4, 1, 96), None, None, _CACHE, _CACHE, _SEEN, _TOTAL, num_heads=6, **_GROUPED
        ),
        "b s j, -, -, b g p d, b g p d, b, - -> b s y, b g t d, b g t d; whole d g j p s t y; guard b",
    ),
    Golden(
        _case(
            "GroupQueryAttention", _floats(4, 1, 72), None, None, _CACHE, _CACHE, _SEEN, _TOTAL, num_heads=3, **_GROUPED
        ),
        "b s (3 g 8), -, -, b g p d, b g p d, b, - -> b s (g 8), b g t d, b g t d; "
        "whole d p s t; units g: num_heads kv_num_heads; guard b",
    ),
    Golden(
        _case(
            "GroupQueryAttention",
            _floats(4, 1, 48),
            _floats(4, 1, 24),
            _floats(4, 1, 24),
            _CACHE,
            _CACHE,
            _SEEN,
            _TOTAL,
            None,
            None,
            None,
            None,
            _floats(6),
            num_heads=6,
            **_GROUPED,
        ),
        "b s (g 16), b s (g 8), b s (g 8), b g p d, b g p d, b, -, -, -, -, -, (g 2) -> "
        "b s (g 16), b g t d, b g t d; "
        "whole d p s t; units g: num_heads kv_num_heads; guard b",
    ),
    Golden(
        _case(
            "MultiHeadAttention",
            _FLAT,
            _FLAT,
            _FLAT,
            None,
            None,
            None,
            _floats(3, 6, 2, 4),
            _floats(3, 6, 2, 4),
            num_heads=6,
            outputs=3,
            domain=_MS,
        ),
        "b q (h 4), b k (h 4), b k (h 4), -, -, -, b h p d, b h p e -> b q (h 4), b h t d, b h t e; "
        "whole d k p t; solid e q; units h: num_heads; guard b",
    ),
]

_W, _R = _floats(1, 24, 8), _floats(1, 24, 6)
_TWO_W, _TWO_R, _TWO_B = _floats(2, 24, 8, low=-1, high=1), _floats(2, 24, 6, low=-1, high=1), _floats(2, 48)
_STATES = _floats(2, 3, 6)
_OWN_W, _OWN_R = _TWO_W[:, :6], _TWO_R[:, :6]
RECURRENT = [
    Golden(
        _case("LSTM", _floats(4, 3, 8), _W, _R, None, _B, hidden_size=6, outputs=3),
        "s b i, d g i, d g h, -, b -> s d b h, d b h, d b h; whole d g h i s; guard b",
    ),
    Golden(
        _case("GRU", _floats(4, 3, 8), _W[:, :18], _R[:, :18], hidden_size=6, outputs=2, direction="reverse"),
        "s b i, d g i, d g h -> s d b h, d b h; whole d g h i s; guard b",
    ),
    Golden(
        _case("RNN", _floats(4, 3, 8), _W[:, :6], _R[:, :6], hidden_size=6),
        "s b i, d g i, d g h -> s d b h; whole d g h i s; guard b",
    ),
    Golden(
        _case(
            "LSTM",
            _floats(4, 3, 8),
            _TWO_W,
            _TWO_R,
            _TWO_B,
            _B,
            _STATES,
            _STATES[::-1],
            _floats(2, 18),
            hidden_size=6,
            direction="bidirectional",
            outputs=3,
            weights=(1, 2, 3, 7),
        ),
        "s b i, d g i, d g h, d f, b, d b h, d b h, d o -> s d b h, d b h, d b h; whole f g h i o s; "
        "row d; column d; solid d; directions d; guard b",
    ),
    Golden(
        _case(
            "RNN",
            _floats(4, 3, 8),
            _OWN_W,
            _OWN_R,
            hidden_size=6,
            direction="bidirectional",
            activations=["Tanh", "Relu"],
            weights=(1, 2),
        ),
        "s b i, d g i, d g h -> s d b h; whole g h i s; row d; column d; solid d; directions d; guard b",
    ),
    Golden(
        _case(
            "RNN",
            _floats(4, 3, 8),
            _OWN_W,
            _OWN_R,
            hidden_size=6,
            direction="bidirectional",
            activations=["LeakyRelu", "Relu"],
            activation_alpha=[0.5],
            weights=(1, 2),
        ),
        "s b i, d g i, d g h -> s d b h; whole d g h i s; guard b",
    ),
]

FUSIONS = [*FUSED, *ATTENTION, *RECURRENT]
