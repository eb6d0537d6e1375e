"""Toy graphs for `infer` and `embed`, written with the ONNX writer of `toy`."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.inference import toy
from tests.inference.toy import FLOAT, INT64, Graph, node, tensor, value
from turnwise.core.canonical import canonical

BOOL, DOUBLE, STRING = 9, 11, 8


def dense_graph(seed: int = 0, *, rows: str | int = "batch", width: int = 8) -> Graph:
    """y = relu(x @ w): rows of `width` numbers to rows of 4."""
    weights = np.random.default_rng(seed).standard_normal((width, 4)).astype(np.float32)
    return Graph(
        inputs=[value("x", FLOAT, [rows, width])],
        outputs=[value("y", FLOAT, [rows, 4])],
        tensors=[tensor("w", weights)],
        nodes=[node("MatMul", ["x", "w"], ["z"]), node("Relu", ["z"], ["y"])],
    )


def mixing_graph() -> Graph:
    """y = softmax over the first axis: what a row gets depends on the others."""
    return Graph(
        inputs=[value("x", FLOAT, ["batch", 4])],
        outputs=[value("y", FLOAT, ["batch", 4])],
        nodes=[node("Softmax", ["x"], ["y"], axis=0)],
    )


def pair_graph() -> Graph:
    """sum = a + b of one length n, `same` = a == b; another symbol for the rows of c, which is doubled."""
    return Graph(
        inputs=[value("a", FLOAT, ["n", 2]), value("b", FLOAT, ["n", 2]), value("c", INT64, ["m", "n"])],
        outputs=[value("sum", FLOAT, ["n", 2]), value("same", BOOL, ["n", 2]), value("twice", INT64, ["m", "n"])],
        nodes=[
            node("Add", ["a", "b"], ["sum"]),
            node("Equal", ["a", "b"], ["same"]),
            node("Add", ["c", "c"], ["twice"]),
        ],
    )


def gather_graph() -> Graph:
    """y = table[i], for i below 3 only."""
    return Graph(
        inputs=[value("i", INT64, ["batch"])],
        outputs=[value("y", FLOAT, ["batch", 2])],
        tensors=[tensor("table", np.arange(6, dtype=np.float32).reshape(3, 2))],
        nodes=[node("Gather", ["table", "i"], ["y"], axis=0)],
    )


def divide_graph() -> Graph:
    """y = a / b, NaN and infinities included."""
    return Graph(
        inputs=[value("a", FLOAT, ["n"]), value("b", FLOAT, ["n"])],
        outputs=[value("y", FLOAT, ["n"])],
        nodes=[node("Div", ["a", "b"], ["y"])],
    )


def growing_graph() -> Graph:
    """y = ones of the shape that is asked for."""
    return Graph(
        inputs=[value("shape", INT64, [1])],
        outputs=[value("y", FLOAT, ["n"])],
        tensors=[tensor("one", np.array([1], np.float32))],
        nodes=[node("Expand", ["one", "shape"], ["y"])],
    )


def encoder_graph(width: int = 6, *, pooled: bool = False) -> Graph:
    """Each token's row of a table; with `pooled` their sum, under the name sentence_embedding."""
    table = np.random.default_rng(1).standard_normal((toy.VOCABULARY, width)).astype(np.float32)
    graph = Graph(
        inputs=[value(name, INT64, ["batch", "tokens"]) for name in ("input_ids", "attention_mask")],
        outputs=[value("last_hidden_state", FLOAT, ["batch", "tokens", width])],
        tensors=[
            tensor("table", table),
            tensor("one", np.array([1], np.int64)),
            tensor("axis", np.array([2], np.int64)),
        ],
        nodes=[
            node("Gather", ["table", "input_ids"], ["rows"], axis=0),
            node("Cast", ["attention_mask"], ["mask"], to=FLOAT),
            node("Unsqueeze", ["mask", "axis"], ["wide"]),
            node("Mul", ["rows", "wide"], ["last_hidden_state"]),
        ],
    )
    if pooled:
        graph.nodes.append(node("ReduceSum", ["last_hidden_state", "one"], ["sentence_embedding"], keepdims=0))
        graph.outputs = [value("sentence_embedding", FLOAT, ["batch", width])]
    return graph


def table_of(width: int = 6) -> NDArray[np.float32]:
    return np.random.default_rng(1).standard_normal((toy.VOCABULARY, width)).astype(np.float32)


def write_graph(path: Path, graph: Graph) -> Path:
    path.write_bytes(graph.model())
    return path


def write_encoder(
    path: Path,
    graph: Graph | None = None,
    *,
    pooling: str | None = "mean_tokens",
    normalise: bool = True,
    **config: Any,
) -> Path:
    """A sentence-transformers folder; `pooling` None: without modules."""
    (path / "1_Pooling").mkdir(parents=True)
    (path / "onnx").mkdir()
    (path / "onnx" / "model.onnx").write_bytes((graph or encoder_graph()).model())
    (path / "tokenizer.json").write_text(toy.byte_tokenizer().to_str())
    (path / "config.json").write_text(
        json.dumps({"architectures": ["BertModel"], "max_position_embeddings": 64} | config)
    )
    if pooling is not None:
        kinds = ["Transformer", "Pooling"] + ["Normalize"] * normalise
        paths = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
        modules = [{"type": f"sentence_transformers.models.{kind}", "path": paths[kind]} for kind in kinds]
        (path / "modules.json").write_text(json.dumps(modules))
        flags = {
            f"pooling_mode_{name}": name == pooling for name in ("cls_token", "mean_tokens", "max_tokens", "lasttoken")
        }
        (path / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 6} | flags))
    return path


def as_json(array: NDArray[Any]) -> dict[str, Any]:
    """A tensor of a request."""
    data = b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"dtype": str(array.dtype), "shape": list(array.shape), "data": data}


def infer_body(model: str, inputs: dict[str, NDArray[Any]]) -> str:
    tensors = {name: as_json(array) for name, array in inputs.items()}
    return canonical({"effect": "infer", "model": model, "inputs": tensors})


def embed_body(model: str, texts: Sequence[str], **more: Any) -> str:
    return canonical({"effect": "embed", "model": model, "texts": list(texts)} | more)
