"""A network as ONNX: MatMul, Add and Clip per layer, the weights as sparse or as dense initializers.

x [samples, N] float32 -> y [samples, N] float32. W[j, i] is the weight from neuron j to neuron i.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from zoo.errors import TooLarge
from zoo.graphchallenge.network import FAN_IN, Network

OPSET = 20
IR_VERSION = 10
ONE_FILE_BYTES = 1 << 30
"""Dense weights above this go to a file of external data."""
PROTOBUF_BYTES = (1 << 31) - 1


def write(network: Network, path: Path, *, dense: bool) -> Path:
    """Write the network to `path`; dense weights over 1 GiB to `path`.data, one layer at a time.

    Raises:
        TooLarge: sparse weights over 2 GiB, or more than the disk has room for.
    """
    size = weight_bytes(network, dense=dense)
    path.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path.parent).free
    if not dense and size > PROTOBUF_BYTES:
        raise TooLarge(
            f"{path.name}: expected sparse weights of at most {PROTOBUF_BYTES} bytes (one protobuf file; external data"
            f" for sparse initializers is not supported yet), got {size}: use fewer layers, or dense=true"
        )
    if size > free:
        raise TooLarge(f"{path.name}: expected at most {free} bytes of weights (free disk space), got {size}")
    model = _model(network, _graph(network, path, dense=dense, external=size > ONE_FILE_BYTES))
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


def weight_bytes(network: Network, *, dense: bool) -> int:
    """Bytes of all weights as stored: float32 values, and an int64 index for each if sparse; biases left out."""
    per_neuron = 4 * network.neurons if dense else (4 + 8) * FAN_IN
    return network.layers * network.neurons * per_neuron


def _graph(network: Network, path: Path, *, dense: bool, external: bool) -> onnx.GraphProto:
    layers = range(network.layers)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["samples", network.neurons]) for name in "xy")
    graph = helper.make_graph([node for i in layers for node in _nodes(network, i)], path.stem, [x], [y])
    graph.initializer.extend(_constants(network))
    if not dense:
        graph.sparse_initializer.extend(_sparse_weight(network, i) for i in layers)
    elif external:
        graph.initializer.extend(_write_external(network, path.with_name(path.name + ".data")))
    else:
        graph.initializer.extend(numpy_helper.from_array(_dense_weight(network, i), _weight_name(i)) for i in layers)
    return graph


def _model(network: Network, graph: onnx.GraphProto) -> onnx.ModelProto:
    opset = helper.make_opsetid("", OPSET)
    model: onnx.ModelProto = helper.make_model(graph, ir_version=IR_VERSION, opset_imports=[opset])
    model.producer_name = "fsd-zoo"
    model.doc_string = f"Graph Challenge sparse network, {network.neurons} neurons, {network.layers} layers"
    return model


def _nodes(network: Network, layer: int) -> list[onnx.NodeProto]:
    source = "x" if layer == 0 else f"layer{layer - 1}.out"
    out = "y" if layer == network.layers - 1 else f"layer{layer}.out"
    steps = (
        ("MatMul", [source, _weight_name(layer)], f"layer{layer}.product"),
        ("Add", [f"layer{layer}.product", f"layer{layer}.bias"], f"layer{layer}.sum"),
        ("Clip", [f"layer{layer}.sum", "clip_min", "clip_max"], out),
    )
    return [helper.make_node(op, inputs, [output], f"layer{layer}.{op.lower()}") for op, inputs, output in steps]


def _weight_name(layer: int) -> str:
    return f"layer{layer}.weight"


def _constants(network: Network) -> Iterable[onnx.TensorProto]:
    """The clip's bounds, and a bias [N] per layer."""
    yield numpy_helper.from_array(np.array(0, np.float32), "clip_min")
    yield numpy_helper.from_array(np.array(network.ceiling, np.float32), "clip_max")
    bias = np.full(network.neurons, network.bias, np.float32)
    for layer in range(network.layers):
        yield numpy_helper.from_array(bias, f"layer{layer}.bias")


def _linear_indices(network: Network, layer: int) -> NDArray[np.int64]:
    """[32 N] int64, ascending: j * N + i for every weight from neuron j to neuron i."""
    to = np.arange(network.neurons, dtype=np.int64)[:, None]
    return np.sort((network.reads(layer).astype(np.int64) * network.neurons + to).ravel())


def _sparse_weight(network: Network, layer: int) -> onnx.SparseTensorProto:
    indices = _linear_indices(network, layer)
    values = np.full(len(indices), network.weight, np.float32)
    return helper.make_sparse_tensor(
        numpy_helper.from_array(values, _weight_name(layer)),
        numpy_helper.from_array(indices, f"{_weight_name(layer)}.indices"),
        [network.neurons, network.neurons],
    )


def _dense_weight(network: Network, layer: int) -> NDArray[np.float32]:
    weight = np.zeros(network.neurons**2, np.float32)
    weight[_linear_indices(network, layer)] = network.weight
    return weight.reshape(network.neurons, network.neurons)


def _write_external(network: Network, path: Path) -> list[onnx.TensorProto]:
    """Write every weight to `path`, one after the other; return the tensors that point there."""
    with path.open("wb") as file:
        for layer in range(network.layers):
            _dense_weight(network, layer).astype("<f4", copy=False).tofile(file)
    return [_external_weight(network, layer, path.name) for layer in range(network.layers)]


def _external_weight(network: Network, layer: int, location: str) -> onnx.TensorProto:
    shape, length = [network.neurons] * 2, 4 * network.neurons**2
    tensor = TensorProto(name=_weight_name(layer), data_type=TensorProto.FLOAT, dims=shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", layer * length), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor
