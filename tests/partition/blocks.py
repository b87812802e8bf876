"""Transformer blocks as exporters write them: attention of several MatMuls, projections apart or in one."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper

from tests.partition.models import Array, Dims, floats, model


class Block:
    """Collects the nodes and weights of a model."""

    def __init__(self, width: int, heads: int) -> None:
        self.width, self.heads, self.nodes = width, heads, list[onnx.NodeProto]()
        self.weights: dict[str, Array] = {}

    def op(self, op_type: str, *inputs: str | Array, outputs: int = 1, **attributes: Any) -> Any:
        """Append a node; arrays become initializers. Names of its outputs."""
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op_type, [self._named(x) for x in inputs], names, **attributes))
        return names if outputs > 1 else names[0]

    def _named(self, value: str | Array) -> str:
        if isinstance(value, str):
            return value
        name = f"w{len(self.weights)}"
        self.weights[name] = value
        return name

    def linear(self, x: str, rows: int, columns: int) -> str:
        """x W + b."""
        seed = len(self.weights)
        product = self.op("MatMul", x, floats(rows, columns, seed=seed, scale=rows**-0.5))
        return str(self.op("Add", product, floats(columns, seed=seed, scale=0.1)))

    def norm(self, x: str) -> str:
        """LayerNormalization with scale and bias."""
        return str(self.op("LayerNormalization", x, 1 + floats(self.width, scale=0.1), floats(self.width, scale=0.1)))

    def by_heads(self, x: str, leading: list[int]) -> str:
        """[b, s, h * d] -> [b, h, s, d]."""
        sizes = np.array([*leading, self.heads, self.width // self.heads])
        return str(self.op("Transpose", self.op("Reshape", x, sizes), perm=[0, 2, 1, 3]))

    def attend(self, q: str, k: str, v: str) -> str:
        """Softmax(q k' / sqrt(d)) v, of [b, h, s, d]."""
        scores = self.op("MatMul", q, self.op("Transpose", k, perm=[0, 1, 3, 2]))
        scaled = self.op("Div", scores, np.array((self.width / self.heads) ** 0.5, np.float32))
        return str(self.op("MatMul", self.op("Softmax", scaled, axis=-1), v))

    def merged(self, x: str, leading: list[int]) -> str:
        """[b, h, s, d] -> [b, s, h * d]."""
        sizes = np.array([*leading, self.width])
        return str(self.op("Reshape", self.op("Transpose", x, perm=[0, 2, 1, 3]), sizes))

    def mlp(self, x: str, factor: int = 4) -> str:
        """Two layers with Gelu by Erf between them, as older exporters write it."""
        h = self.linear(x, self.width, factor * self.width)
        erf = self.op("Erf", self.op("Div", h, np.array(2**0.5, np.float32)))
        gelu = self.op(
            "Mul", self.op("Mul", h, self.op("Add", erf, np.ones((), np.float32))), np.array(0.5, np.float32)
        )
        return self.linear(gelu, factor * self.width, self.width)

    def model(self, x: Dims, output: str) -> onnx.ModelProto:
        """The model that gives `output`."""
        nodes = [*self.nodes, helper.make_node("Identity", [output], ["y"])]
        return model(nodes, {"x": x}, ["y"], self.weights)


def encoder(
    width: int = 64, heads: int = 8, layers: int = 1, batch: int | str = 1, seq: int | str = 5
) -> onnx.ModelProto:
    """Encoder blocks with projections apart, after the manner of Hugging Face's BERT (normalised first)."""
    block, x = Block(width, heads), "x"
    for _ in range(layers):
        normal = block.norm(x)
        q, k, v = (block.by_heads(block.linear(normal, width, width), [0, -1]) for _ in range(3))
        x = block.op("Add", x, block.linear(block.merged(block.attend(q, k, v), [0, -1]), width, width))
        x = block.op("Add", x, block.mlp(block.norm(x)))
    return block.model([batch, seq, width], x)


def fused_by_split(width: int = 64, heads: int = 8) -> onnx.ModelProto:
    """One MatMul for query, key and value, then Split, after the manner of GPT-2."""
    block = Block(width, heads)
    parts = block.op("Split", block.linear(block.norm("x"), width, 3 * width), np.full(3, width), axis=-1, outputs=3)
    q, k, v = (block.by_heads(part, [0, -1]) for part in parts)
    x = block.op("Add", "x", block.linear(block.merged(block.attend(q, k, v), [0, -1]), width, width))
    return block.model([1, 5, width], block.op("Add", x, block.mlp(block.norm(x))))


def fused_by_reshape(width: int = 64, heads: int = 8) -> onnx.ModelProto:
    """One MatMul for query, key and value, then Reshape to [b, s, 3, h, d], after the manner of timm's ViT."""
    block = Block(width, heads)
    sizes = np.array([1, 5, 3, heads, width // heads])
    opened = block.op("Reshape", block.linear(block.norm("x"), width, 3 * width), sizes)
    turned = block.op("Transpose", opened, perm=[2, 0, 3, 1, 4])
    q, k, v = (block.op("Gather", turned, np.array(i), axis=0) for i in range(3))
    x = block.op("Add", "x", block.linear(block.merged(block.attend(q, k, v), [1, 5]), width, width))
    return block.model([1, 5, width], block.op("Add", x, block.mlp(block.norm(x))))


def grouped(heads: int, groups: int, layers: int = 2, features: int = 16, op: str = "") -> onnx.ModelProto:
    """Blocks in which each head of keys and values has several of queries, written out as Hugging Face does.

    op: the name of an op that attends instead: "Attention" or "GroupQueryAttention".
    """
    block, x, seq = Block(heads * features, heads), "x", 5
    for _ in range(layers):
        h = block.norm(x)
        q, k, v = (block.linear(h, block.width, n * features) for n in (heads, groups, groups))
        attended = GROUPED[op](block, (q, k, v), groups, seq)
        x = block.op("Add", x, block.linear(attended, block.width, block.width))
        x = block.op("Add", x, block.mlp(block.norm(x)))
    proto = block.model([1, seq, block.width], x)
    proto.opset_import[0].version = 23
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return proto


def _repeated(block: Block, projected: tuple[str, str, str], groups: int, seq: int) -> str:
    """Keys and values repeated for each of their queries' heads."""
    heads, features, keys = block.heads, block.width // block.heads, list[str]()
    for joined in projected[1:]:
        apart = block.op("Reshape", joined, np.array([0, -1, groups, features]))
        turned = block.op("Unsqueeze", block.op("Transpose", apart, perm=[0, 2, 1, 3]), np.array([2]))
        often = block.op("Expand", turned, np.array([1, groups, heads // groups, seq, features]))
        keys.append(block.op("Reshape", often, np.array([1, heads, seq, features])))
    return block.merged(block.attend(block.by_heads(projected[0], [0, -1]), *keys), [0, -1])


def _in_one(block: Block, projected: tuple[str, str, str], groups: int, _: int) -> str:
    return str(block.op("Attention", *projected, q_num_heads=block.heads, kv_num_heads=groups))


def _in_one_of_ours(block: Block, projected: tuple[str, str, str], groups: int, seq: int) -> str:
    lengths = np.array([seq - 1], np.int32), np.array(seq, np.int32)
    counts = {"num_heads": block.heads, "kv_num_heads": groups}
    made = block.op("GroupQueryAttention", *projected, "", "", *lengths, outputs=3, domain="com.microsoft", **counts)
    return str(made[0])


GROUPED = {"": _repeated, "Attention": _in_one, "GroupQueryAttention": _in_one_of_ours}
BLOCKS = {"apart": encoder, "fused_by_reshape": fused_by_reshape, "fused_by_split": fused_by_split}
