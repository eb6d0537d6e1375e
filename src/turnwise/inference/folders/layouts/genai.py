"""onnxruntime-genai's convention: `genai_config.json` describes the decoder and names its graph.

Its session options are not read, since they could name libraries to load. A repository may hold several such folders
in one; a variant is then the name of one of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from turnwise.errors import ModelError
from turnwise.inference.folders.files import CONFIG_BYTES_MAX, FolderFiles
from turnwise.inference.folders.layouts.layout import GraphNames, Layout, check_numbers
from turnwise.inference.onnx.graph_facts import read_graph

CONFIG: Final = "genai_config.json"
CONVENTION: Final = "onnxruntime-genai"


class _Inputs(msgspec.Struct):
    input_ids: str = "input_ids"
    attention_mask: str = "attention_mask"
    position_ids: str = "position_ids"
    past_key_names: str = "past_key_values.%d.key"
    past_value_names: str = "past_key_values.%d.value"


class _Outputs(msgspec.Struct):
    logits: str = "logits"
    present_key_names: str = "present.%d.key"
    present_value_names: str = "present.%d.value"


class _Window(msgspec.Struct):
    window_size: int = 0


class _Decoder(msgspec.Struct):
    filename: str
    head_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int | None = None
    sliding_window: _Window | None = None
    inputs: _Inputs = msgspec.field(default_factory=_Inputs)
    outputs: _Outputs = msgspec.field(default_factory=_Outputs)


class _Model(msgspec.Struct):
    context_length: int
    vocab_size: int
    eos_token_id: int | list[int]
    decoder: _Decoder
    bos_token_id: int | None = None
    type: str = ""


class _GenaiConfig(msgspec.Struct):
    model: _Model


def variants(path: Path) -> list[str]:
    """Names of the folders inside `path` that are models of this convention."""
    try:
        return sorted(item.name for item in path.iterdir() if (item / CONFIG).is_file())
    except OSError:
        return []


def read(files: FolderFiles) -> Layout:
    """Read the folder. Raises ModelError."""
    config_path = files.file(CONFIG, CONFIG_BYTES_MAX)
    model = files.json(config_path, _GenaiConfig).model
    decoder = model.decoder
    names = _names(decoder, config_path)
    ends = model.eos_token_id if isinstance(model.eos_token_id, list) else [model.eos_token_id]
    graph_path = files.file(decoder.filename)
    heads = decoder.num_attention_heads if decoder.num_key_value_heads is None else decoder.num_key_value_heads
    layout = Layout(
        convention=CONVENTION,
        variant=None,
        config_path=config_path,
        graph_path=graph_path,
        graph=read_graph(graph_path),
        names=names,
        architecture=model.type,
        layers=decoder.num_hidden_layers,
        kv_heads=heads,
        head_size=decoder.head_size,
        context_length=model.context_length,
        vocabulary_size=model.vocab_size,
        bos=model.bos_token_id,
        ends=frozenset(ends),
        window=0 if decoder.sliding_window is None else decoder.sliding_window.window_size,
    )
    keys = {key: f"decoder.{key}" for key in ("head_size", "num_hidden_layers", "num_key_value_heads")}
    keys["sliding_window"] = "decoder.sliding_window.window_size"
    check_numbers(layout, f"{config_path}: model", keys)
    return layout


def _names(decoder: _Decoder, config_path: Path) -> GraphNames:
    inputs, outputs = decoder.inputs, decoder.outputs
    of_layers = (
        inputs.past_key_names,
        inputs.past_value_names,
        outputs.present_key_names,
        outputs.present_value_names,
    )
    for name in of_layers:
        if name.count("%") != 1 or "%d" not in name:
            where = f"{config_path}: model.decoder"
            raise ModelError(f"the name {name!r} must hold %d once, for the layer", where=where)
    past_key, past_value, present_key, present_value = of_layers
    return GraphNames(
        inputs.input_ids,
        inputs.attention_mask,
        inputs.position_ids,
        past_key,
        past_value,
        outputs.logits,
        present_key,
        present_value,
    )
