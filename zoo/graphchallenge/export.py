"""A network as ONNX: MatMul, Add and Clip per layer, the weights as sparse or as dense initializers.

x [samples, N] float32 -> y [samples, N] float32. W[j, i] is the weight from neuron j to neuron i.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import BufferedWriter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from zoo.errors import TooLarge
from zoo.graphchallenge.network import FAN_IN, Network

Arrays = Mapping[str, NDArray[Any]]

OPSET = 20
IR_VERSION = 10
ONE_FILE_BYTES = 1 << 30
"""Weights above this go to a file of external data."""


def write(network: Network, path: Path, *, dense: bool) -> Path:
    """Write the network to `path`; weights over 1 GiB to `path`.data, one layer at a time.

    Raises:
        TooLarge: more than the disk has room for.
    """
    size = weight_bytes(network, dense=dense)
    path.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path.parent).free
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
    data = path.with_name(path.name + ".data") if external else None
    if dense:
        graph.initializer.extend(_stored(network, data, _dense_tensors))
    else:
        weights = list(_stored(network, data, _sparse_tensors))
        shape = [network.neurons] * 2
        pairs = zip(weights[::2], weights[1::2], strict=True)
        graph.sparse_initializer.extend(helper.make_sparse_tensor(*pair, shape) for pair in pairs)
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


def _linear_indices(network: Network, layer: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """[32 N] places by the neuron that reads, and int64 j * N + i there, ascending: weights from neuron j to i."""
    read = network.reads(layer).ravel()
    order = np.argsort(read.astype(np.uint16 if network.neurons <= 1 << 16 else np.int64), kind="stable")
    return order, read[order].astype(np.int64) * network.neurons + order // FAN_IN


def _sparse_tensors(network: Network, layer: int) -> Arrays:
    order, indices = _linear_indices(network, layer)
    return {_weight_name(layer): _values(network, layer)[order], f"{_weight_name(layer)}.indices": indices}


def _dense_tensors(network: Network, layer: int) -> Arrays:
    order, indices = _linear_indices(network, layer)
    weight = np.zeros(network.neurons**2, np.float32)
    weight[indices] = _values(network, layer)[order]
    return {_weight_name(layer): weight.reshape(network.neurons, network.neurons)}


def _values(network: Network, layer: int) -> NDArray[np.float32]:
    """[32 N] float32, by the neuron that reads."""
    if network.weights is None:
        return np.full(network.neurons * FAN_IN, network.weight, np.float32)
    return network.weights(layer).ravel()


def _stored(
    network: Network, data: Path | None, tensors: Callable[[Network, int], Arrays]
) -> Iterator[onnx.TensorProto]:
    """The tensors of every layer: inside, or one after the other in the file `data`."""
    with data.open("wb") if data else contextlib.nullcontext() as file:
        for name, array in (item for layer in range(network.layers) for item in tensors(network, layer).items()):
            yield _external(name, array, file) if file else numpy_helper.from_array(array, name)


def _external(name: str, array: NDArray[np.generic], file: BufferedWriter) -> onnx.TensorProto:
    """Append an array to the file; the tensor that points there."""
    offset = file.tell()
    array.astype(array.dtype.newbyteorder("<"), copy=False).tofile(file)
    tensor = TensorProto(name=name, data_type=helper.np_dtype_to_tensor_dtype(array.dtype), dims=array.shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", Path(file.name).name), ("offset", offset), ("length", array.nbytes)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor
