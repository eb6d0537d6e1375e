"""Decoders with random weights in every form that graphs come in, two layers each, written with the writer of `toy`.

They are no language models: what matters is that each operator is computed as the real ones compute it, that attention
is causal and reads the whole past, and that positions have a part in it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tests.inference import toy
from tests.inference.toy import INT32, INT64, MICROSOFT, VOCABULARY, message, number, value

FLOAT16, BOOL, UINT8 = 10, 9, 2
CONTEXT_LENGTH = 1024
ENDS = (toy.END, 3, 5)
BIAS = np.where(np.isin(np.arange(VOCABULARY), ENDS), -2.0, 0.0)
"""Ends are less likely than the other tokens."""

_KINDS = {"float32": 1, "uint8": UINT8, "int8": 3, "int32": INT32, "int64": INT64, "bool": BOOL, "float16": FLOAT16}

Attention = Literal["grouped", "packed", "multihead", "decomposed", "standard"]
"""GroupQueryAttention with Q, K and V apart or in one tensor, MultiHeadAttention, small operators, ONNX's Attention."""


@dataclass(frozen=True, slots=True)
class Form:
    """`weights`: `fp32`, `fp16` (all of the graph, KV cache too), `int8` (dynamic), or `int4` with block and level.

    `merged`: two branches of an If, as Optimum merges a decoder without a past and one with it.
    """

    attention: Attention
    weights: str = "fp32"
    block: int = 32
    accuracy: int = 4
    positions: bool = True
    merged: bool = False

    def __str__(self) -> str:
        weights = f"int4-{self.block}-level{self.accuracy}" if self.weights == "int4" else self.weights
        return "-".join([self.attention, weights] + ["no-positions"] * (not self.positions) + ["merged"] * self.merged)


def tensor(name: str, array: NDArray[Any]) -> bytes:
    """A TensorProto of any of the types."""
    head = b"".join(number(1, dim) for dim in array.shape) + number(2, _KINDS[str(array.dtype)])
    return head + message(8, name) + message(9, array.tobytes())


def node(kind: str, inputs: Sequence[str], outputs: Sequence[str], domain: str = "", **attributes: Any) -> bytes:
    """As `toy.node`; an attribute may be a float, a list of numbers or a graph (bytes) too."""
    parts = [message(1, name) for name in inputs] + [message(2, name) for name in outputs] + [message(4, kind)]
    for key, given in attributes.items():
        if isinstance(given, bytes):
            body = message(6, given) + number(20, 5)
        elif isinstance(given, list):
            body = b"".join(number(8, item) for item in given) + number(20, 7)
        elif isinstance(given, float):
            body = b"\x15" + struct.pack("<f", given) + number(20, 1)
        else:
            body = number(3, given) + number(20, 2)
        parts.append(message(5, message(1, key), body))
    return b"".join(parts) + (message(7, domain) if domain else b"")


@dataclass
class _Build:
    """A graph under construction. `prefix` keeps the names of two branches apart."""

    form: Form
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_size: int
    logits_bias: NDArray[np.float64]
    seed: int = 0
    prefix: str = ""
    past: bool = True
    nodes: list[bytes] = field(default_factory=list)
    tensors: dict[str, bytes] = field(default_factory=dict)

    @property
    def dtype(self) -> str:
        return "float16" if self.form.weights == "fp16" else "float32"

    def constant(self, name: str, array: NDArray[Any]) -> str:
        self.tensors[name] = tensor(name, array)
        return name

    def ints(self, *numbers: int) -> str:
        return self.constant("i" + "_".join(map(str, numbers)), np.array(numbers, np.int64))

    def scalar(self, given: int) -> str:
        return self.constant(f"s{given}", np.array(given, np.int64))

    def random(self, name: str) -> np.random.Generator:
        """The same for a name, whatever else is built."""
        return np.random.default_rng([self.seed, *name.encode()])

    def op(self, kind: str, *inputs: str, outputs: Sequence[str] = (), domain: str = "", **attributes: Any) -> str:
        made = list(outputs) or [f"{self.prefix}t{len(self.nodes)}"]
        self.nodes.append(node(kind, inputs, made, domain, **attributes))
        return made[0]

    def table(self, name: str, rows: int) -> str:
        array = self.random(name).standard_normal((rows, self.hidden)) * 0.5
        return self.constant(name, array.astype(self.dtype))

    def linear(self, x: str, name: str, rows: int, columns: int) -> str:
        weights = self.random(name).standard_normal((rows, columns)) / rows**0.5
        if self.form.weights == "int4":
            return self._int4(x, name, rows, columns)
        if self.form.weights == "int8":
            return self._int8(x, name, weights)
        return self.op("MatMul", x, self.constant(name, weights.astype(self.dtype)))

    def _int4(self, x: str, name: str, rows: int, columns: int) -> str:
        block, random = self.form.block, self.random(name)
        packed = random.integers(0, 256, (columns, rows // block, block // 2), np.uint8)
        scales = (random.uniform(0.5, 1.5, columns * rows // block) / (4.6 * rows**0.5)).astype(np.float32)
        given = [x, self.constant(f"{name}_q", packed), self.constant(f"{name}_scales", scales)]
        sizes = {"K": rows, "N": columns, "bits": 4, "block_size": block, "accuracy_level": self.form.accuracy}
        return self.op("MatMulNBits", *given, domain=MICROSOFT, **sizes)

    def _int8(self, x: str, name: str, weights: NDArray[Any]) -> str:
        scale = np.float32(np.abs(weights).max() / 127)
        whole = self.constant(f"{name}_q", np.round(weights / scale).astype(np.int8))
        scaled = [f"{self.prefix}{name}_{part}" for part in ("x", "scale", "zero")]
        self.op("DynamicQuantizeLinear", x, outputs=scaled)
        zero = self.constant("zero_q", np.array(0, np.int8))
        product = self.op("Cast", self.op("MatMulInteger", scaled[0], whole, scaled[2], zero), to=1)
        both = self.op("Mul", scaled[1], self.constant(f"{name}_step", np.array(scale)))
        return self.op("Mul", product, both)

    def norm(self, x: str, name: str) -> str:
        ones = self.constant(name, np.ones(self.hidden, self.dtype))
        return self.op("LayerNormalization", x, ones, axis=-1 & (2**64 - 1), epsilon=1e-5)

    def split_heads(self, x: str, heads: int) -> str:
        """[batch, new, heads * size] to [batch, heads, new, size]."""
        shaped = self.op("Reshape", x, self.constant(f"h{heads}", np.array([0, 0, heads, self.head_size], np.int64)))
        return self.op("Transpose", shaped, perm=[0, 2, 1, 3])

    # -- of all layers

    def begin(self) -> str:
        """Embedding and positions; [batch, new, hidden]."""
        x = self.op("Gather", self.table("embedding", len(self.logits_bias)), "input_ids", axis=0)
        self.new = self.op("Gather", self.op("Shape", "input_ids"), self.scalar(1), axis=0)
        self.total = self.op("Gather", self.op("Shape", "attention_mask"), self.scalar(1), axis=0)
        start = self.op("Sub", self.total, self.new)
        self.places = self.op("Range", start, self.total, self.scalar(1))
        if self.form.positions:
            x = self.op("Add", x, self.op("Gather", self.table("places", CONTEXT_LENGTH), "position_ids", axis=0))
        elif self.form.attention not in ("grouped", "packed"):
            x = self.op("Add", x, self.op("Gather", self.table("places", CONTEXT_LENGTH), self.places, axis=0))
        if self.form.attention in ("grouped", "packed"):
            sums = self.op("ReduceSum", "attention_mask", self.ints(1), keepdims=0)
            self.seqlens = self.op("Cast", self.op("Sub", sums, self.ints(1)), to=INT32)
            self.total32 = self.op("Cast", self.total, to=INT32)
        else:
            self.bias = self._bias()
        return x

    def _bias(self) -> str:
        """[batch, 1, new, total]: 0 where a token may look, else the least number."""
        ends = self.op("Unsqueeze", self.places, self.ints(1))
        all_places = self.op("Range", self.scalar(0), self.total, self.scalar(1))
        causal = self.op("LessOrEqual", all_places, ends)
        mask = self.op("Unsqueeze", self.op("Cast", "attention_mask", to=BOOL), self.ints(1, 2))
        least = np.array(np.finfo(self.dtype).min, self.dtype)
        zero = self.constant("zero", np.array(0, self.dtype))
        return self.op("Where", self.op("And", causal, mask), zero, self.constant("least", least))

    def attend(self, x: str, layer: int) -> str:
        queries, keys = self.heads * self.head_size, self.kv_heads * self.head_size
        past = [f"past_key_values.{layer}.{kind}" for kind in ("key", "value")]
        present = [f"{self.prefix}present.{layer}.{kind}" for kind in ("key", "value")]
        if self.form.attention == "packed":
            parts = [self.linear(x, f"qkv{layer}", self.hidden, queries + 2 * keys), "", ""]
        else:
            sizes = {"q": queries, "k": keys, "v": keys}
            parts = [self.linear(x, f"{part}{layer}", self.hidden, size) for part, size in sizes.items()]
        out = f"{self.prefix}attended{layer}"
        if self.form.attention in ("grouped", "packed"):
            self.op(
                "GroupQueryAttention",
                *parts,
                *past,
                self.seqlens,
                self.total32,
                outputs=[out, *present],
                domain=MICROSOFT,
                num_heads=self.heads,
                kv_num_heads=self.kv_heads,
                scale=self.head_size**-0.5,
                softcap=0.0,
            )
            return out
        if self.form.attention == "multihead":
            given = [*parts, "", "", self.bias, *past]
            self.op("MultiHeadAttention", *given, outputs=[out, *present], domain=MICROSOFT, num_heads=self.heads)
            return out
        if self.form.attention == "standard":
            given = [*parts, self.bias, *past]
            sizes = {"q_num_heads": self.heads, "kv_num_heads": self.kv_heads}
            self.op("Attention", *given, outputs=[out, *present], **sizes)
            return out
        return self._decomposed(parts, past, present)

    def _decomposed(self, parts: list[str], past: list[str], present: list[str]) -> str:
        q = self.split_heads(parts[0], self.heads)
        kv = []
        for part, before, after in zip(parts[1:], past, present, strict=True):
            new = self.split_heads(part, self.kv_heads)
            if self.past:
                whole = self.op("Concat", before, new, outputs=[after], axis=2)
            else:
                whole = self.op("Identity", new, outputs=[after])
            kv.append(self._repeated(whole))
        scores = self.op("MatMul", q, self.op("Transpose", kv[0], perm=[0, 1, 3, 2]))
        scale = self.constant("scale", np.array(self.head_size**-0.5, self.dtype))
        weights = self.op("Softmax", self.op("Add", self.op("Mul", scores, scale), self.bias), axis=3)
        mixed = self.op("Transpose", self.op("MatMul", weights, kv[1]), perm=[0, 2, 1, 3])
        return self.op("Reshape", mixed, self.constant("flat", np.array([0, 0, self.heads * self.head_size], np.int64)))

    def _repeated(self, x: str) -> str:
        """Each head of the cache as often as there are heads of queries for it."""
        if self.heads == self.kv_heads:
            return x
        group = self.heads // self.kv_heads
        wide = self.op("Expand", self.op("Unsqueeze", x, self.ints(2)), self.ints(1, 1, group, 1, 1))
        shape = self.constant("repeat", np.array([0, self.heads, -1, self.head_size], np.int64))
        return self.op("Reshape", wide, shape)

    def layer(self, x: str, layer: int) -> str:
        attended = self.attend(self.norm(x, "norm"), layer)
        x = self.op("Add", x, self.linear(attended, f"o{layer}", self.heads * self.head_size, self.hidden))
        inner = self.op("Relu", self.linear(self.norm(x, "norm"), f"up{layer}", self.hidden, 2 * self.hidden))
        return self.op("Add", x, self.linear(inner, f"down{layer}", 2 * self.hidden, self.hidden))

    def whole(self, logits: str) -> None:
        x = self.begin()
        for layer in range(self.layers):
            x = self.layer(x, layer)
        scores = self.linear(self.norm(x, "norm"), "head", self.hidden, len(self.logits_bias))
        self.op("Add", scores, self.constant("bias", self.logits_bias.astype(self.dtype)), outputs=[logits])


def form_graph(
    form: Form,
    *,
    layers: int = 2,
    hidden: int = 128,
    heads: int = 4,
    kv_heads: int = 2,
    head_size: int = 32,
    bias: NDArray[np.float64] = BIAS,
    seed: int = 0,
) -> bytes:
    """The bytes of a model.onnx in that form. `bias` is added to the logits of the vocabulary."""
    kv_heads = heads if form.attention == "multihead" else kv_heads
    build = _Build(form, layers, hidden, heads, kv_heads, head_size, bias, seed)
    kind = _KINDS[build.dtype]
    names = [f"{layer}.{part}" for layer in range(layers) for part in ("key", "value")]
    cache = ["batch_size", kv_heads, "past_sequence_length", head_size]
    inputs = [value("input_ids", INT64, ["batch_size", "sequence_length"])]
    inputs.append(value("attention_mask", INT64, ["batch_size", "total_sequence_length"]))
    if form.positions:
        inputs.append(value("position_ids", INT64, ["batch_size", "sequence_length"]))
    inputs += [value(f"past_key_values.{name}", kind, cache) for name in names]
    present = ["batch_size", kv_heads, "total", head_size]
    results = {"logits": ["batch_size", "sequence_length", len(bias)]} | {f"present.{name}": present for name in names}
    if form.merged:
        branches = {}
        for branch, past in (("then_branch", True), ("else_branch", False)):
            part = replace(build, prefix=f"{branch}_", past=past, nodes=[])
            part.whole(f"{branch}_logits")
            outputs = [value(f"{branch}_{name}", kind, shape) for name, shape in results.items()]
            body = b"".join(message(1, item) for item in part.nodes) + message(2, branch)
            branches[branch] = body + b"".join(message(12, item) for item in outputs)
        inputs.append(value("use_cache_branch", BOOL, [1]))
        build.nodes = [node("If", ["use_cache_branch"], list(results), **branches)]
    else:
        build.whole("logits")
    graph = toy.Graph(
        nodes=build.nodes,
        tensors=list(build.tensors.values()),
        inputs=inputs,
        outputs=[value(name, kind, shape) for name, shape in results.items()],
    )
    return graph.model(opset=23) if form.attention == "standard" else graph.model()


def write_form(path: Path, form: Form, **sizes: int) -> Path:
    """A model folder as Optimum writes it, with several end tokens. `merged` under the name that Optimum gives it."""
    toy.write_optimum_folder(
        path,
        variants=(),
        configuration={"hidden_size": 128, "num_hidden_layers": 2, "max_position_embeddings": CONTEXT_LENGTH},
        generation={"bos_token_id": toy.BOS, "eos_token_id": list(ENDS)},
    )
    settings = json.loads((path / "config.json").read_text()) | {"num_hidden_layers": sizes.get("layers", 2)}
    (path / "config.json").write_text(json.dumps(settings))
    name = "decoder_model_merged" if form.merged else "model"
    (path / "onnx" / f"{name}.onnx").write_bytes(form_graph(form, **sizes))
    return path
