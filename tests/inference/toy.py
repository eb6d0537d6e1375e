"""Tiny models written by hand: an ONNX writer for the few messages that are needed, and folders around its graphs.

Tokens are bytes: `<s>` is 0, `</s>` is 1, and byte `b` is `b + 2`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers import decoders, models, pre_tokenizers

BOS, END, BYTES_FROM = 0, 1, 2
VOCABULARY = 258
CONTEXT_LENGTH = 64
FLOAT, INT32, INT64 = 1, 6, 7
MICROSOFT = "com.microsoft"


SHOWS_TOOLS = (
    "{{ bos_token }}{% if tools %}{{ tools | tojson }}{{ '\n' }}{% endif %}{% for m in messages %}"
    "{{ m.role }}: {{ m.content }}{% for c in m.tool_calls or [] %}{{ '\n' }}<tool_call>\n"
    '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}\n</tool_call>{% endfor %}'
    "{% if m.role == 'assistant' %}</s>{% endif %}{% if not loop.last %}{{ '\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\n' }}assistant: {% endif %}"
)
"""A chat template that tells of tools, and writes calls as Hermes does."""


def varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def number(tag: int, value: int) -> bytes:
    return varint(tag << 3) + varint(value)


def message(tag: int, *parts: bytes | str) -> bytes:
    body = b"".join(part.encode() if isinstance(part, str) else part for part in parts)
    return varint(tag << 3 | 2) + varint(len(body)) + body


def tensor(name: str, array: NDArray[Any]) -> bytes:
    """A TensorProto with its data inside."""
    kind = {"float32": FLOAT, "int64": INT64, "int32": INT32}[str(array.dtype)]
    return (
        b"".join(number(1, dim) for dim in array.shape)
        + number(2, kind)
        + message(8, name)
        + message(9, array.tobytes())
    )


def external_tensor(name: str, dims: Sequence[int], **entries: str) -> bytes:
    """A float TensorProto whose data lies in another file."""
    texts = b"".join(message(13, message(1, key), message(2, value)) for key, value in entries.items())
    return b"".join(number(1, dim) for dim in dims) + number(2, FLOAT) + message(8, name) + texts + number(14, 1)


def node(kind: str, inputs: Sequence[str], outputs: Sequence[str], domain: str = "", **attributes: int) -> bytes:
    parts = [message(1, name) for name in inputs] + [message(2, name) for name in outputs] + [message(4, kind)]
    parts += [message(5, message(1, key), number(3, value), number(20, 2)) for key, value in attributes.items()]
    return b"".join(parts) + (message(7, domain) if domain else b"")


def value(name: str, kind: int, dims: Sequence[int | str]) -> bytes:
    shape = b"".join(message(1, number(1, dim) if isinstance(dim, int) else message(2, dim)) for dim in dims)
    return message(1, name) + message(2, message(1, number(1, kind), message(2, shape)))


@dataclass
class Graph:
    """A graph under construction; `model()` gives the bytes of a model.onnx."""

    nodes: list[bytes] = field(default_factory=list)
    tensors: list[bytes] = field(default_factory=list)
    inputs: list[bytes] = field(default_factory=list)
    outputs: list[bytes] = field(default_factory=list)

    def model(self, opset: int = 17) -> bytes:
        graph = b"".join(message(1, part) for part in self.nodes) + message(2, "toy")
        graph += b"".join(message(5, part) for part in self.tensors)
        graph += b"".join(message(11, part) for part in self.inputs)
        graph += b"".join(message(12, part) for part in self.outputs)
        opsets = message(8, message(1, ""), number(2, opset)) + message(8, message(1, MICROSOFT), number(2, 1))
        return number(1, 8) + opsets + message(7, graph)


def bigram_graph(table: NDArray[np.float32], *, extra_input: str | None = None) -> Graph:
    """Logits of the next token are a row of `table`. A KV cache that only grows, as attention without a buffer has."""
    graph = Graph()
    graph.inputs = [
        value("input_ids", INT64, ["batch", "sequence"]),
        value("attention_mask", INT64, ["batch", "total"]),
        value("past_key_values.0.key", FLOAT, ["batch", 1, "past", "head"]),
        value("past_key_values.0.value", FLOAT, ["batch", 1, "past", "head"]),
    ]
    if extra_input:
        graph.inputs.append(value(extra_input, INT64, [1]))
    graph.outputs = [
        value("logits", FLOAT, ["batch", "sequence", table.shape[1]]),
        value("present.0.key", FLOAT, ["batch", 1, "total", "head"]),
        value("present.0.value", FLOAT, ["batch", 1, "total", "head"]),
    ]
    graph.tensors = [tensor("table", table), tensor("axes", np.array([1, 3], np.int64))]
    graph.nodes = [
        node("Gather", ["table", "input_ids"], ["logits"], axis=0),
        node("Cast", ["input_ids"], ["numbers"], to=FLOAT),
        node("Unsqueeze", ["numbers", "axes"], ["new"]),
        node("Concat", ["past_key_values.0.key", "new"], ["present.0.key"], axis=2),
        node("Concat", ["past_key_values.0.value", "new"], ["present.0.value"], axis=2),
    ]
    return graph


def attention_graph(
    seed: int = 0, *, heads: int = 4, kv_heads: int = 2, head_size: int = 16, hidden: int = 32, **attention: int
) -> Graph:
    """One layer of GroupQueryAttention with random weights, which keeps its KV cache in place. It never ends.

    `attention` are more attributes of that node.
    """
    random = np.random.default_rng(seed)

    def weights(name: str, rows: int, columns: int) -> bytes:
        return tensor(name, (random.standard_normal((rows, columns)) / rows**0.25).astype(np.float32))

    graph = Graph()
    cache = ["batch", kv_heads, "past", head_size]
    graph.inputs = [
        value("input_ids", INT64, ["batch", "sequence"]),
        value("attention_mask", INT64, ["batch", "total"]),
        value("past_key_values.0.key", FLOAT, cache),
        value("past_key_values.0.value", FLOAT, cache),
    ]
    graph.outputs = [
        value("logits", FLOAT, ["batch", "sequence", VOCABULARY]),
        value("present.0.key", FLOAT, ["batch", kv_heads, "present", head_size]),
        value("present.0.value", FLOAT, ["batch", kv_heads, "present", head_size]),
    ]
    graph.tensors = [
        weights("embedding", VOCABULARY, hidden),
        weights("wq", hidden, heads * head_size),
        weights("wk", hidden, kv_heads * head_size),
        weights("wv", hidden, kv_heads * head_size),
        weights("wo", heads * head_size, hidden),
        weights("head", hidden, VOCABULARY),
        tensor("one", np.array([1], np.int64)),
        tensor("bias", np.where(np.arange(VOCABULARY) == END, -1000, 0).astype(np.float32)),
    ]
    graph.nodes = [
        node("Gather", ["embedding", "input_ids"], ["x"], axis=0),
        node("MatMul", ["x", "wq"], ["q"]),
        node("MatMul", ["x", "wk"], ["k"]),
        node("MatMul", ["x", "wv"], ["v"]),
        node("ReduceSum", ["attention_mask", "one"], ["lengths"], keepdims=0),
        node("Sub", ["lengths", "one"], ["last"]),
        node("Cast", ["last"], ["seqlens_k"], to=INT32),
        node("Shape", ["attention_mask"], ["shape"]),
        node("Gather", ["shape", "one"], ["total_vector"], axis=0),
        node("Squeeze", ["total_vector"], ["total_wide"]),
        node("Cast", ["total_wide"], ["total"], to=INT32),
        node(
            "GroupQueryAttention",
            ["q", "k", "v", "past_key_values.0.key", "past_key_values.0.value", "seqlens_k", "total"],
            ["attended", "present.0.key", "present.0.value"],
            domain=MICROSOFT,
            num_heads=heads,
            kv_num_heads=kv_heads,
            **attention,
        ),
        node("MatMul", ["attended", "wo"], ["mixed"]),
        node("Add", ["mixed", "x"], ["y"]),
        node("MatMul", ["y", "head"], ["scores"]),
        node("Add", ["scores", "bias"], ["logits"]),
    ]
    return graph


def windowed_graph(window: int) -> Graph:
    """`attention_graph` with a layer before it that looks at a window, and keeps no more where it is asked to."""
    graph = attention_graph(seed=3)
    random = np.random.default_rng(4)
    heads, kv_heads, head_size, hidden = 4, 2, 16, 32
    sizes = {"wq0": (hidden, heads), "wk0": (hidden, kv_heads), "wv0": (hidden, kv_heads)}
    for name, (rows, many) in sizes.items():
        numbers = random.standard_normal((rows, many * head_size)) / rows**0.25
        graph.tensors.append(tensor(name, numbers.astype(np.float32)))
    out = random.standard_normal((heads * head_size, hidden)) / (heads * head_size) ** 0.25
    graph.tensors.append(tensor("wo0", out.astype(np.float32)))
    cache = ["batch", kv_heads, "past", head_size]
    graph.inputs += [value(f"past_key_values.1.{part}", FLOAT, cache) for part in ("key", "value")]
    present = ["batch", kv_heads, "present", head_size]
    graph.outputs += [value(f"present.1.{part}", FLOAT, present) for part in ("key", "value")]
    before = [
        node("Gather", ["embedding", "input_ids"], ["embedded"], axis=0),
        *(node("MatMul", ["embedded", f"w{part}0"], [f"{part}0"]) for part in "qkv"),
    ]
    windowed = [
        node(
            "GroupQueryAttention",
            ["q0", "k0", "v0", "past_key_values.1.key", "past_key_values.1.value", "seqlens_k", "total"],
            ["attended0", "present.1.key", "present.1.value"],
            domain=MICROSOFT,
            num_heads=heads,
            kv_num_heads=kv_heads,
            local_window_size=window,
            sliding_window_cache=1,
        ),
        node("MatMul", ["attended0", "wo0"], ["mixed0"]),
        node("Add", ["mixed0", "embedded"], ["x"]),
    ]
    lengths = graph.nodes[4:11]
    graph.nodes = [*before, *lengths, *windowed, *graph.nodes[1:4], *graph.nodes[11:]]
    return graph


def mixing_graph() -> Graph:
    """`attention_graph`, in which each token also gets a little of the mean over all that runs in the same step.

    So bits depend, for real, on what runs beside a sequence, on how its prompt is cut, and on what of it is reused.
    """
    graph = attention_graph()
    graph.nodes = [part for part in graph.nodes if b"scores" not in part or b"MatMul" not in part]
    graph.tensors.append(tensor("share", np.array([0.5], np.float32)))
    graph.nodes[-1:-1] = [
        node("ReduceMean", ["y"], ["mean"], keepdims=1),
        node("Mul", ["mean", "share"], ["shared"]),
        node("Add", ["y", "shared"], ["together"]),
        node("MatMul", ["together", "head"], ["scores"]),
    ]
    return graph


def chance_graph() -> Graph:
    """`attention_graph` with random numbers in its logits: it never answers the same twice."""
    graph = attention_graph()
    graph.nodes = [part for part in graph.nodes if b"bias" not in part]
    graph.nodes += [
        node("Add", ["scores", "bias"], ["sure"]),
        node("RandomUniformLike", ["sure"], ["noise"]),
        node("Add", ["sure", "noise"], ["logits"]),
    ]
    return graph


def write_chance_folder(path: Path) -> Path:
    """A model folder with `chance_graph`."""
    return write_folder(path, chance_graph(), configuration=config(16, 2, context_length=512))


def write_mixing_folder(path: Path, *, context_length: int = 512) -> Path:
    """A model folder with `mixing_graph`."""
    return write_folder(path, mixing_graph(), configuration=config(16, 2, context_length=context_length))


def chain_table(*texts: bytes, end: bool = True) -> NDArray[np.float32]:
    """A bigram table in which each byte is followed by the next one of its text, and the last byte by `</s>`."""
    table = np.zeros((VOCABULARY, VOCABULARY), np.float32)
    for text in texts:
        for here, there in pairwise(text):
            table[here + BYTES_FROM, there + BYTES_FROM] = 10.0
        if end:
            table[text[-1] + BYTES_FROM, END] = 10.0
    return table


def config(head_size: int = 1, kv_heads: int = 1, **changes: Any) -> dict[str, Any]:
    """A genai_config.json; `changes` replace keys of `model`."""
    decoder = {
        "filename": "model.onnx",
        "head_size": head_size,
        "hidden_size": 8,
        "num_attention_heads": kv_heads,
        "num_hidden_layers": 1,
        "num_key_value_heads": kv_heads,
        "inputs": {"input_ids": "input_ids", "attention_mask": "attention_mask"},
        "outputs": {"logits": "logits"},
        "session_options": {"custom_ops_library": "evil.so"},
    }
    model = {
        "type": "toy",
        "bos_token_id": BOS,
        "eos_token_id": END,
        "context_length": CONTEXT_LENGTH,
        "vocab_size": VOCABULARY,
        "decoder": decoder,
    }
    return {"model": model | changes, "search": {}}


def byte_tokenizer() -> tokenizers.Tokenizer:
    """A tokenizer whose tokens are bytes."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = {byte: chr(byte) for byte in shown}
    letters |= {byte: chr(256 + index) for index, byte in enumerate(sorted(set(range(256)) - set(shown)))}
    vocabulary = {"<s>": BOS, "</s>": END} | {letters[byte]: byte + BYTES_FROM for byte in range(256)}
    tokenizer = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    return tokenizer


def write_folder(
    path: Path,
    graph: Graph | None = None,
    *,
    configuration: dict[str, Any] | None = None,
    tokenizer_config: dict[str, Any] | None = None,
) -> Path:
    """A whole model folder. Without a graph: one that counts through the alphabet."""
    path.mkdir(parents=True, exist_ok=True)
    graph = graph or bigram_graph(chain_table(b"abcdefghijklmnopqrstuvwxyz"))
    (path / "model.onnx").write_bytes(graph.model())
    (path / "genai_config.json").write_text(json.dumps(configuration or config()))
    (path / "tokenizer.json").write_text(byte_tokenizer().to_str())
    settings = {"add_bos_token": True, "bos_token": "<s>", "eos_token": {"content": "</s>"}}
    (path / "tokenizer_config.json").write_text(json.dumps(settings | (tokenizer_config or {})))
    return path


def write_attention_folder(path: Path, *, context_length: int = 512) -> Path:
    """A model folder with the GroupQueryAttention graph."""
    return write_folder(path, attention_graph(), configuration=config(16, 2, context_length=context_length))


def write_optimum_folder(
    path: Path,
    *,
    variants: Sequence[str] = ("model",),
    configuration: dict[str, Any] | None = None,
    generation: dict[str, Any] | None = None,
    graph: Graph | None = None,
) -> Path:
    """A model folder as Optimum exports it; `variants` are names of graphs without `.onnx`. It counts through a-z."""
    (path / "onnx").mkdir(parents=True, exist_ok=True)
    graph = graph or bigram_graph(chain_table(b"abcdefghijklmnopqrstuvwxyz"))
    for name in variants:
        (path / "onnx" / f"{name}.onnx").write_bytes(graph.model())
    sizes = {"hidden_size": 1, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": VOCABULARY}
    marks = {"bos_token_id": BOS, "eos_token_id": END, "max_position_embeddings": CONTEXT_LENGTH}
    (path / "config.json").write_text(json.dumps({"model_type": "toy"} | sizes | marks | (configuration or {})))
    if generation is not None:
        (path / "generation_config.json").write_text(json.dumps(generation))
    (path / "tokenizer.json").write_text(byte_tokenizer().to_str())
    (path / "tokenizer_config.json").write_text(json.dumps({"add_bos_token": True, "bos_token": "<s>"}))
    return path
