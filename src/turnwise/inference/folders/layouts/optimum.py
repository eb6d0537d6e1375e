"""Optimum's convention, which onnx-community follows: `config.json` as transformers has it, graphs in `onnx/`.

`onnx/model.onnx` is the model as it was exported (variant `fp32`); `onnx/model_<variant>.onnx` are smaller forms of it.
Where no variant is named, the most exact one is taken: the first that is there of `PREFERRED`, else the first by name.
Older exports have `onnx/decoder_model_merged.onnx` instead, in which two graphs are branches of one: they are taken
where there is no other graph of the variant.
What the graph itself says goes before the configuration: layers, heads and head size stand in its inputs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from turnwise.errors import ModelError
from turnwise.inference.folders.files import CONFIG_BYTES_MAX, COPY, FolderFiles
from turnwise.inference.folders.layouts.layout import GraphNames, Layout, check_numbers
from turnwise.inference.onnx.graph_facts import Graph, Shape, read_graph

CONFIG: Final = "config.json"
GENERATION_CONFIG: Final = "generation_config.json"
GRAPHS: Final = "onnx"
GRAPH: Final = "model"
MERGED: Final = "decoder_model_merged"
EXACT: Final = "fp32"
CONVENTION: Final = "optimum"
PREFERRED: Final = (EXACT, "fp16", "q4", "q4f16", "int8", "quantized", "uint8", "bnb4")

_VARIANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_PAST_KEY = re.compile(r"past_key_values\.(0|[1-9][0-9]{0,5})\.key")
_NAMES: Final = GraphNames()


class _DecoderConfig(msgspec.Struct):
    """Of `config.json`; models of text and images have the part for text under `text_config`."""

    model_type: str = ""
    vocab_size: int | None = None
    hidden_size: int | None = None
    n_embd: int | None = None
    num_hidden_layers: int | None = None
    n_layer: int | None = None
    num_attention_heads: int | None = None
    n_head: int | None = None
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    max_position_embeddings: int | None = None
    n_positions: int | None = None
    max_seq_len: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    text_config: Any = None


class _GenerationConfig(msgspec.Struct):
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None


def variants(path: Path) -> list[str]:
    """Variants that the folder holds, the one first that is taken when none is named."""
    return list(_graphs_in(path))


def _graphs_in(path: Path) -> dict[str, str]:
    try:
        return graphs(item.stem for item in (path / GRAPHS).iterdir() if item.suffix == ".onnx" and item.is_file())
    except OSError:
        return {}


def graphs(stems: Iterable[str]) -> dict[str, str]:
    """The graph of each variant, inside the folder; by the names in `onnx/` without `.onnx`, the preferred first."""
    given = sorted(stems)
    found = {variant: stem for kind in (MERGED, GRAPH) for stem in given if (variant := _variant(stem, kind))}
    return {variant: f"{GRAPHS}/{found[variant]}.onnx" for variant in _by_rank(found)}


def ranked(stems: Iterable[str]) -> list[str]:
    """Variants by the names of their graphs without `.onnx`, the preferred first; other names are left out."""
    return _by_rank({variant for stem in stems if (variant := _variant(stem, GRAPH))})


def _by_rank(variants: Iterable[str]) -> list[str]:
    rank = {name: place for place, name in enumerate(PREFERRED)}
    return sorted(variants, key=lambda name: (rank.get(name, len(rank)), name))


def _variant(stem: str, kind: str) -> str | None:
    """Of which variant of the model a file of that name is the graph, if it is one of that kind."""
    if stem == kind:
        return EXACT
    name = stem.removeprefix(f"{kind}_")
    return name if name != stem and _VARIANT.fullmatch(name) else None


def read(files: FolderFiles, variant: str | None) -> Layout:
    """Read the folder. Raises ModelError."""
    config_path = files.file(CONFIG, CONFIG_BYTES_MAX)
    config = files.json(config_path, _DecoderConfig)
    if isinstance(config.text_config, dict):
        config = _text_part(config, config_path)
    chosen = _choose(files.path, variant)
    graph_path = files.file(_graphs_in(files.path)[chosen])
    graph = read_graph(graph_path)
    layers, heads, head_size = _cache(graph, config, graph_path)
    bos, ends = _marks(files, config)
    layout = Layout(
        convention=CONVENTION,
        variant=chosen,
        config_path=config_path,
        graph_path=graph_path,
        graph=graph,
        names=_NAMES,
        architecture=config.model_type,
        layers=layers,
        kv_heads=heads,
        head_size=head_size,
        context_length=_number(config, config_path, "max_position_embeddings", "n_positions", "max_seq_len"),
        vocabulary_size=_vocabulary(graph, config, graph_path),
        bos=bos,
        ends=ends,
    )
    check_numbers(layout, str(config_path), {"context_length": "max_position_embeddings"})
    return layout


def _choose(path: Path, variant: str | None) -> str:
    there = variants(path)
    if not there:
        raise ModelError(
            f"{GRAPHS}/model.onnx is missing",
            where=str(path),
            expected=f"{GRAPHS}/model.onnx or {GRAPHS}/model_<variant>.onnx",
            hint=f"The folder has a {CONFIG} and no graph: pull the model again, or export it to ONNX.",
        )
    if variant is not None and variant not in there:
        raise ModelError(
            f"there is no variant {variant!r}",
            where=str(path),
            expected=there,
            actual=variant,
            hint=f"There: {', '.join(there)}.",
        )
    return variant or there[0]


def _text_part(config: _DecoderConfig, path: Path) -> _DecoderConfig:
    try:
        text = msgspec.convert(config.text_config, _DecoderConfig)
    except msgspec.ValidationError as error:
        raise ModelError(str(error), where=f"{path}: text_config", hint=COPY) from error
    text.bos_token_id = config.bos_token_id if text.bos_token_id is None else text.bos_token_id
    text.eos_token_id = config.eos_token_id if text.eos_token_id is None else text.eos_token_id
    return text


def _cache(graph: Graph, config: _DecoderConfig, graph_path: Path) -> tuple[int, int, int]:
    """Layers, heads and head size of the KV cache, by the graph's inputs; where those have names, by the config."""
    layers = {int(match[1]): name for name in graph.inputs if (match := _PAST_KEY.fullmatch(name))}
    if not layers or sorted(layers) != list(range(len(layers))):
        raise ModelError(
            "the graph has no input 'past_key_values.0.key'" if not layers else "layers of the KV cache are missing",
            where=str(graph_path),
            expected=_NAMES.past_key,
            actual=sorted(graph.inputs),
            hint="Only decoders with a KV cache are supported: export the task text-generation-with-past.",
        )
    stated = config.num_hidden_layers if config.num_hidden_layers is not None else config.n_layer
    if stated is not None and stated != len(layers):
        raise ModelError(
            f"the graph has {len(layers)} layers of KV cache, {CONFIG} says num_hidden_layers {stated}",
            where=str(graph_path),
            expected=stated,
            actual=len(layers),
            hint=f"{CONFIG} and the graph do not belong together: copy both again.",
        )
    shape = graph.inputs[layers[0]]
    heads, size = _dimension(shape, 1), _dimension(shape, 3)
    config_path = graph_path.parent.parent / CONFIG
    if heads is None:
        heads = _number(config, config_path, "num_key_value_heads", "num_attention_heads", "n_head")
    if size is None:
        size = config.head_dim
    if size is None:
        hidden = _number(config, config_path, "hidden_size", "n_embd")
        size = hidden // max(1, _number(config, config_path, "num_attention_heads", "n_head"))
    return len(layers), heads, size


def _vocabulary(graph: Graph, config: _DecoderConfig, graph_path: Path) -> int:
    size = _dimension(graph.outputs.get(_NAMES.logits, ()), 2)
    if size is None:
        return _number(config, graph_path.parent.parent / CONFIG, "vocab_size")
    if config.vocab_size is not None and config.vocab_size != size:
        raise ModelError(
            f"the graph gives logits of {size} tokens, {CONFIG} says vocab_size {config.vocab_size}",
            where=str(graph_path),
            expected=config.vocab_size,
            actual=size,
            hint=f"{CONFIG} and the graph do not belong together: copy both again.",
        )
    return size


def _marks(files: FolderFiles, config: _DecoderConfig) -> tuple[int | None, frozenset[int]]:
    """BOS and end tokens. `generation_config.json` goes before `config.json`, since chat models add theirs there."""
    generation = _GenerationConfig()
    if files.has(GENERATION_CONFIG):
        generation = files.json(files.file(GENERATION_CONFIG, CONFIG_BYTES_MAX), _GenerationConfig)
    bos = generation.bos_token_id if generation.bos_token_id is not None else config.bos_token_id
    ends = generation.eos_token_id if generation.eos_token_id is not None else config.eos_token_id
    if ends is None:
        raise ModelError(
            "eos_token_id is missing",
            where=str(files.path / CONFIG),
            expected=f"a token, or a list of tokens, in {GENERATION_CONFIG} or {CONFIG}",
            hint=f"Without it a model never ends: copy {GENERATION_CONFIG} from where the model comes from.",
        )
    return bos, frozenset(ends if isinstance(ends, list) else [ends])


def _number(config: _DecoderConfig, path: Path, *names: str) -> int:
    """Return the first of these keys that the configuration has."""
    for name in names:
        value = getattr(config, name)
        if isinstance(value, int):
            return value
    raise ModelError(f"{names[0]} is missing", where=str(path), expected=names[0], hint=COPY)


def _dimension(shape: Shape, axis: int) -> int | None:
    return shape[axis] if len(shape) > axis else None
