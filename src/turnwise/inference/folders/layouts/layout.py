"""Facts about a decoder from a convention's files, in the same words for all conventions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from turnwise.errors import ModelError
from turnwise.inference.onnx.graph_facts import Graph

CONTEXT_LENGTH_MIN: Final = 8
CONTEXT_LENGTH_MAX: Final = 16 * 1024 * 1024
LAYERS_MAX: Final = 4096
HEADS_MAX: Final = 65536
VOCABULARY_MAX: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class GraphNames:
    """Names of the graph's tensors. Those of the KV cache hold `%d` for the layer."""

    input_ids: str = "input_ids"
    attention_mask: str = "attention_mask"
    position_ids: str = "position_ids"
    past_key: str = "past_key_values.%d.key"
    past_value: str = "past_key_values.%d.value"
    logits: str = "logits"
    present_key: str = "present.%d.key"
    present_value: str = "present.%d.value"


@dataclass(frozen=True, slots=True)
class Layout:
    """A decoder as its folder describes it.

    `config_path` is the file that says so, `variant` the graph that was chosen; None where there is but one. Attention
    that looks at the last `window` tokens only wants rows of KV cache of at least so many; 0 where it looks at all.
    `kv_window` is the window that such layers (`graph.windowed`) keep alone; 0 where all of them keep all tokens.
    """

    convention: str
    variant: str | None
    config_path: Path
    graph_path: Path
    graph: Graph
    names: GraphNames
    architecture: str
    layers: int
    kv_heads: int
    head_size: int
    context_length: int
    vocabulary_size: int
    bos: int | None
    ends: frozenset[int]
    window: int = 0
    kv_window: int = 0


def check_numbers(layout: Layout, where: str, keys: dict[str, str] | None = None) -> None:
    """Bounds of the numbers that memory is taken by. `keys` are their names in the file, where they differ."""
    bounds = {
        "context_length": (layout.context_length, CONTEXT_LENGTH_MIN, CONTEXT_LENGTH_MAX),
        "vocab_size": (layout.vocabulary_size, 1, VOCABULARY_MAX),
        "head_size": (layout.head_size, 1, HEADS_MAX),
        "num_hidden_layers": (layout.layers, 1, LAYERS_MAX),
        "num_key_value_heads": (layout.kv_heads, 1, HEADS_MAX),
        "sliding_window": (layout.window, 0, CONTEXT_LENGTH_MAX),
    }
    bounds |= {f"eos_token_id {end}": (end, 0, layout.vocabulary_size - 1) for end in sorted(layout.ends)}
    if layout.bos is not None:
        bounds["bos_token_id"] = (layout.bos, 0, layout.vocabulary_size - 1)
    for key, (value, low, high) in bounds.items():
        if not low <= value <= high:
            name = (keys or {}).get(key, key)
            raise ModelError(
                f"{name} is {value}, expected {low} to {high}", where=where, expected=(low, high), actual=value
            )
