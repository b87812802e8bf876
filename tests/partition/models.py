"""Small seeded models that tests compile."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
Dims = Sequence[int | str]


def floats(*shape: int, seed: int = 0, scale: float = 1.0) -> Array:
    """Normal float32 values."""
    return (np.random.default_rng([seed, *shape]).standard_normal(shape) * scale).astype(np.float32)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: dict[str, Dims],
    outputs: Sequence[str],
    weights: dict[str, Array] | None = None,
    opset: int = 18,
    **more: Any,
) -> onnx.ModelProto:
    """A float32 model; shapes of outputs are left to be inferred."""
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in inputs.items()]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    initializers = [numpy_helper.from_array(value, name) for name, value in (weights or {}).items()]
    graph = helper.make_graph(nodes, "test", infos, results, initializers, **more)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def digits_mlp() -> onnx.ModelProto:
    """64 -> 33 -> 20 -> 10 with Gemm, Relu, Sigmoid, Softmax; uneven on purpose."""
    nodes = [
        helper.make_node("Gemm", ["x", "w0", "b0"], ["g0"], transB=1),
        helper.make_node("Relu", ["g0"], ["h0"]),
        helper.make_node("MatMul", ["h0", "w1"], ["m1"]),
        helper.make_node("Add", ["m1", "b1"], ["a1"]),
        helper.make_node("Sigmoid", ["a1"], ["h1"]),
        helper.make_node("Gemm", ["h1", "w2", "b2"], ["g2"]),
        helper.make_node("Softmax", ["g2"], ["y"], axis=1),
    ]
    shapes = {"w0": (33, 64), "b0": (33,), "w1": (33, 20), "b1": (20,), "w2": (20, 10), "b2": (10,)}
    weights = {name: floats(*shape, scale=0.3) for name, shape in shapes.items()}
    return model(nodes, {"x": ["batch", 64]}, ["y"], weights)


def gemm_variants() -> onnx.ModelProto:
    """alpha, beta, transA, a bias of one column, no bias, beta = 0."""
    nodes = [
        helper.make_node("Gemm", ["x", "w0", "c"], ["g0"], transA=1, alpha=0.5, beta=2.0),
        helper.make_node("Gemm", ["g0", "w1"], ["g1"]),
        helper.make_node("Gemm", ["g1", "w1", "g0"], ["y"], transB=1, beta=0.0),
    ]
    return model(nodes, {"x": [6, 4]}, ["y"], {"w0": floats(6, 5), "c": floats(4, 1), "w1": floats(5, 5)})


def residual() -> onnx.ModelProto:
    """A diamond with a skip connection, a tied weight used transposed, two inputs and two outputs."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Tanh", ["a"], ["b"]),
        helper.make_node("Transpose", ["w"], ["wt"], perm=[1, 0]),
        helper.make_node("MatMul", ["b", "wt"], ["c"]),
        helper.make_node("Add", ["c", "x"], ["d"]),
        helper.make_node("Mul", ["d", "z"], ["y"]),
        helper.make_node("MatMul", ["d", "w"], ["e"]),
        helper.make_node("Sub", ["e", "a"], ["v"]),
    ]
    return model(nodes, {"x": ["n", 7], "z": ["n", 1]}, ["y", "v"], {"w": floats(7, 5)})


def bias_only() -> onnx.ModelProto:
    """No product at all."""
    return model([helper.make_node("Add", ["x", "b"], ["y"])], {"x": ["n", 9]}, ["y"], {"b": floats(9)})


def ruleless() -> onnx.ModelProto:
    """TopK, which has no rule, between two products."""
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["a"]),
        helper.make_node("TopK", ["a", "k"], ["t", "i"], axis=-1),
        helper.make_node("MatMul", ["t", "w1"], ["y"]),
    ]
    weights = {"w0": floats(6, 8), "k": np.array([4]), "w1": floats(4, 5)}
    return model(nodes, {"x": ["n", 6]}, ["y"], weights)


def mixed_batch() -> onnx.ModelProto:
    """A mean over the batch in the middle: not batch-parallel."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("ReduceMean", ["a", "axis"], ["m"], keepdims=1),
        helper.make_node("Sub", ["a", "m"], ["y"]),
    ]
    return model(nodes, {"x": ["n", 6]}, ["y"], {"w": floats(6, 5), "axis": np.array([0])})


def attention_like() -> onnx.ModelProto:
    """3-D activations, batched products, Softmax, Reshape with -1, negative axes."""
    nodes = [
        helper.make_node("MatMul", ["x", "wq"], ["q"]),
        helper.make_node("MatMul", ["x", "wk"], ["k"]),
        helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["q", "kt"], ["s"]),
        helper.make_node("Softmax", ["s"], ["p"], axis=-1),
        helper.make_node("MatMul", ["p", "x"], ["o"]),
        helper.make_node("ReduceMean", ["o", "axis"], ["r"], keepdims=0),
        helper.make_node("Reshape", ["r", "shape"], ["y"]),
    ]
    weights = {"wq": floats(6, 5), "wk": floats(6, 5), "axis": np.array([-2]), "shape": np.array([-1, 2, 3])}
    return model(nodes, {"x": ["n", 4, 6]}, ["y"], weights)


def control_flow() -> onnx.ModelProto:
    """An If whose branches read an outer value and an outer weight."""
    branches = {}
    for name, op in (("then_branch", "Add"), ("else_branch", "Sub")):
        node = helper.make_node(op, ["h", "w"], [f"{op}_out"])
        result = helper.make_tensor_value_info(f"{op}_out", TensorProto.FLOAT, None)
        branches[name] = helper.make_graph([node], name, [], [result])
    nodes = [
        helper.make_node("Relu", ["x"], ["h"]),
        helper.make_node("ReduceSum", ["h"], ["total"], keepdims=0),
        helper.make_node("Greater", ["total", "limit"], ["yes"]),
        helper.make_node("If", ["yes"], ["z"], **branches),
        helper.make_node("MatMul", ["z", "m"], ["y"]),
    ]
    weights = {"w": floats(6), "limit": np.array(3.0, np.float32), "m": floats(6, 5)}
    return model(nodes, {"x": ["n", 6]}, ["y"], weights)


def mobile_cnn() -> onnx.ModelProto:
    """Convolutions of every kind: with bias, depthwise, in groups of 2, transposed; normalised and pooled."""
    nodes = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["c0"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c0", "s", "b0", "b0", "s"], ["n0"]),
        helper.make_node("Relu", ["n0"], ["r0"]),
        helper.make_node("Conv", ["r0", "w1", "b0"], ["c1"], group=12),
        helper.make_node("Conv", ["c1", "w2"], ["c2"], group=6, pads=[1, 1, 1, 1]),
        helper.make_node("MaxPool", ["c2"], ["p2"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("ConvTranspose", ["p2", "w3", "b3"], ["c3"]),
        helper.make_node("GlobalAveragePool", ["c3"], ["g3"]),
        helper.make_node("Flatten", ["g3"], ["y"]),
    ]
    shapes = {
        "w0": (12, 3, 3, 3),
        "b0": (12,),
        "w1": (12, 1, 3, 3),
        "w2": (12, 2, 3, 3),
        "w3": (12, 5, 3, 3),
        "b3": (5,),
    }
    weights = {name: floats(*shape, scale=0.3) for name, shape in shapes.items()}
    return model(nodes, {"x": ["n", 3, 10, 10]}, ["y"], {**weights, "s": np.linspace(0.5, 2, 12, dtype=np.float32)})


def heads() -> onnx.ModelProto:
    """Attention as one op, 6 heads of 4 in one axis, between dense layers."""
    nodes = [helper.make_node("MatMul", ["x", f"w{name}"], [name]) for name in "qkv"]
    nodes += [
        helper.make_node("MultiHeadAttention", ["q", "k", "v"], ["a"], num_heads=6, domain="com.microsoft"),
        helper.make_node("MatMul", ["a", "wo"], ["y"]),
    ]
    weights = {f"w{name}": floats(24, 24, seed=i, scale=0.2) for i, name in enumerate("qkvo")}
    proto = model(nodes, {"x": ["n", 5, 24]}, ["y"], weights)
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return proto


def grouped_heads() -> onnx.ModelProto:
    """A decoder step after a past of 5: 6 query heads on 3 of keys and values, one op between dense layers."""
    nodes = [helper.make_node("MatMul", ["x", f"w{name}"], [name]) for name in "qkv"]
    attention = ["q", "k", "v", "past_k", "past_v", "seen", "total"]
    heads: dict[str, Any] = {"num_heads": 6, "kv_num_heads": 3, "domain": "com.microsoft"}
    nodes += [
        helper.make_node("GroupQueryAttention", attention, ["a", "new_k", "new_v"], **heads),
        helper.make_node("MatMul", ["a", "wo"], ["y"]),
    ]
    sizes = {"q": (16, 48), "k": (16, 24), "v": (16, 24), "o": (48, 16)}
    weights = {f"w{name}": floats(*size, seed=i, scale=0.2) for i, (name, size) in enumerate(sizes.items())}
    weights |= {"seen": np.full(2, 5, np.int32), "total": np.array(6, np.int32)}
    inputs: dict[str, Dims] = {"x": [2, 1, 16], "past_k": [2, 3, 5, 8], "past_v": [2, 3, 5, 8]}
    proto = model(nodes, inputs, ["y", "new_k", "new_v"], weights)
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return proto


DENSE: dict[str, Callable[[], onnx.ModelProto]] = {
    "attention_like": attention_like,
    "bias_only": bias_only,
    "control_flow": control_flow,
    "digits_mlp": digits_mlp,
    "gemm_variants": gemm_variants,
    "grouped_heads": grouped_heads,
    "heads": heads,
    "mixed_batch": mixed_batch,
    "mobile_cnn": mobile_cnn,
    "residual": residual,
    "ruleless": ruleless,
}


def random_inputs(proto: onnx.ModelProto, batch: int, seed: int = 1) -> dict[str, Array]:
    """Float inputs by the model's signature; a size that is a symbol is `batch`."""
    found: dict[str, Array] = {}
    for i, value in enumerate(proto.graph.input):
        dims = [dim.dim_value or batch for dim in value.type.tensor_type.shape.dim]
        found[value.name] = floats(*dims, seed=seed + i)
    return found


def sparse_matrix(inputs: int, outputs: int, per_output: int, seed: int) -> Array:
    """[inputs, outputs] with `per_output` non-zeros in each column."""
    rng = np.random.default_rng(seed)
    full = np.zeros((inputs, outputs), np.float32)
    for column in range(outputs):
        rows = rng.choice(inputs, per_output, replace=False)
        full[rows, column] = rng.uniform(0.1, 0.5, per_output)
    return full


def sparse_blocks(count: int, size: int = 16, layers: int = 4) -> list[Array]:
    """Layers [count * size, count * size] of `count` independent blocks: ranks that have some each exchange nothing."""
    whole = [np.zeros((count * size, count * size), np.float32) for _ in range(layers)]
    for i, matrix in enumerate(whole):
        for block in range(count):
            at = slice(block * size, (block + 1) * size)
            matrix[at, at] = sparse_matrix(size, size, 4, seed=i * count + block)
    return whole


def unbounded(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same with Relu in place of Clip: infinities pass."""
    for node in proto.graph.node:
        if node.op_type == "Clip":
            node.op_type = "Relu"
            del node.input[1:]
    return proto


def sparse_initializer(name: str, matrix: Array, linear: bool = True) -> onnx.SparseTensorProto:
    """The matrix as an ONNX sparse initializer, with linear or two-dimensional indices."""
    rows, columns = np.nonzero(matrix)
    places = rows * matrix.shape[1] + columns if linear else np.stack([rows, columns], 1)
    values = numpy_helper.from_array(matrix[rows, columns], name)
    return helper.make_sparse_tensor(values, numpy_helper.from_array(places, f"{name}_places"), list(matrix.shape))


def sparse_chain(
    sizes: Sequence[int] = (40, 40, 33, 40, 25, 40, 40), bias: float = -0.3, linear: bool = True, dense: bool = False
) -> onnx.ModelProto:
    """Random layers; 4 inputs per neuron."""
    matrices = [sparse_matrix(*pair, 4, seed=i) for i, pair in enumerate(itertools.pairwise(sizes))]
    return sparse_layers(matrices, bias, linear, dense)


def sparse_layers(
    matrices: Sequence[Array], bias: float | Sequence[Array] = -0.3, linear: bool = True, dense: bool = False
) -> onnx.ModelProto:
    """MatMul (sparse weight), Add, Clip per layer, like the Graph Challenge. bias: of all neurons, or by layer."""
    nodes: list[onnx.NodeProto] = []
    weights: dict[str, Array] = {"low": np.array(0, np.float32), "high": np.array(32, np.float32)}
    sparse: list[onnx.SparseTensorProto] = []
    value = "x"
    for i, matrix in enumerate(matrices):
        one = np.full(matrix.shape[1], bias, np.float32) if isinstance(bias, float) else bias[i]
        weights[f"b{i}"] = one
        if dense:
            weights[f"w{i}"] = matrix
        else:
            sparse.append(sparse_initializer(f"w{i}", matrix, linear))
        target = "y" if i == len(matrices) - 1 else f"h{i}"
        nodes += [
            helper.make_node("MatMul", [value, f"w{i}"], [f"m{i}"]),
            helper.make_node("Add", [f"m{i}", f"b{i}"], [f"a{i}"]),
            helper.make_node("Clip", [f"a{i}", "low", "high"], [target]),
        ]
        value = target
    return model(nodes, {"x": ["n", matrices[0].shape[0]]}, ["y"], weights, sparse_initializer=sparse)


def sparse_inputs(samples: int, features: int = 40, dead: int = 2) -> dict[str, Array]:
    """Mostly zero activations, some samples entirely so."""
    rng = np.random.default_rng(7)
    x = (rng.random((samples, features)) < 0.4) * rng.uniform(0.5, 2.0, (samples, features))
    x[:: max(1, samples // max(1, dead))] = 0
    return {"x": x.astype(np.float32)}
