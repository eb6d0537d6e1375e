"""Reads a model folder in onnxruntime-genai's layout, and says everything that is wrong with it before it is loaded.

The folder is data, and not trusted: nothing in it is executed or unpickled, its session options (which could name
libraries to load) are not read, and no file outside it is opened. The one exception: the Hugging Face cache keeps
`snapshots/<revision>/<file>` as links into `blobs/` of the same repository, and those are followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from turnwise.errors import ModelError
from turnwise.inference.graph import Graph, read_graph

GENAI_CONFIG: Final = "genai_config.json"
TOKENIZER: Final = "tokenizer.json"
TOKENIZER_CONFIG: Final = "tokenizer_config.json"
CHAT_TEMPLATE: Final = "chat_template.jinja"

CONFIG_BYTES_MAX: Final = 16 * 1024 * 1024
TOKENIZER_BYTES_MAX: Final = 256 * 1024 * 1024
CONTEXT_LENGTH_MIN: Final = 8
CONTEXT_LENGTH_MAX: Final = 16 * 1024 * 1024
LAYERS_MAX: Final = 4096
HEADS_MAX: Final = 65536
VOCABULARY_MAX: Final = 16 * 1024 * 1024

_COPY = "Copy the folder again from where the model comes from."
_WHAT_A_MODEL_IS = "a folder in onnxruntime-genai's layout: genai_config.json, model.onnx, tokenizer.json"


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


class _Decoder(msgspec.Struct):
    filename: str
    head_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int | None = None
    inputs: _Inputs = msgspec.field(default_factory=_Inputs)
    outputs: _Outputs = msgspec.field(default_factory=_Outputs)


class _Model(msgspec.Struct):
    context_length: int
    vocab_size: int
    eos_token_id: int | list[int]
    decoder: _Decoder
    bos_token_id: int | None = None
    type: str = ""


class _Config(msgspec.Struct):
    model: _Model


class _TokenizerConfig(msgspec.Struct):
    add_bos_token: bool | None = None
    chat_template: Any = None
    bos_token: Any = None
    eos_token: Any = None
    unk_token: Any = None
    pad_token: Any = None
    sep_token: Any = None
    cls_token: Any = None
    mask_token: Any = None


@dataclass(frozen=True, slots=True)
class GraphNames:
    """Names of the graph's tensors. Those of the KV cache hold `%d` for the layer."""

    input_ids: str
    attention_mask: str
    position_ids: str
    past_key: str
    past_value: str
    logits: str
    present_key: str
    present_value: str


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model folder, read and checked as far as is possible without loading the graph.

    `files` are all files that decide what the model computes, by their name inside the folder. `template` is the chat
    template's source and `template_from` the file it stands in; None where there is none.
    """

    path: Path
    files: Mapping[str, Path]
    graph_path: Path
    graph: Graph
    tokenizer_path: Path
    names: GraphNames
    architecture: str
    layers: int
    kv_heads: int
    head_size: int
    context_length: int
    vocabulary_size: int
    bos: int | None
    add_bos: bool
    ends: frozenset[int]
    special_tokens: Mapping[str, str]
    template: str | None
    template_from: str | None
    weights_bytes: int


def read_model_folder(path: Path) -> ModelFolder:
    """Read a model folder. Raises ModelError, naming the file, what is expected of it, and what to do."""
    if not path.is_dir():
        found = "is a file, not a folder" if path.exists() else "does not exist"
        raise ModelError(found, where=str(path), expected=_WHAT_A_MODEL_IS, hint=f"Expected {_WHAT_A_MODEL_IS}.")
    reader = _Folder(path)
    config_path = reader.file(GENAI_CONFIG, CONFIG_BYTES_MAX)
    model = reader.json(config_path, _Config).model
    _check(config_path, model)
    graph_path = reader.file(model.decoder.filename)
    graph = read_graph(graph_path)
    _check_operators(graph_path, graph)
    data = reader.external(graph_path, graph)
    tokenizer_path = reader.file(TOKENIZER, TOKENIZER_BYTES_MAX)
    settings = _TokenizerConfig()
    if reader.has(TOKENIZER_CONFIG):
        settings = reader.json(reader.file(TOKENIZER_CONFIG, CONFIG_BYTES_MAX), _TokenizerConfig)
    template, template_from = reader.template(settings)
    names, decoder = model.decoder.inputs, model.decoder
    outputs = decoder.outputs
    ends = model.eos_token_id if isinstance(model.eos_token_id, list) else [model.eos_token_id]
    return ModelFolder(
        path=path,
        files=dict(sorted(reader.files.items())),
        graph_path=graph_path,
        graph=graph,
        tokenizer_path=tokenizer_path,
        names=GraphNames(
            names.input_ids,
            names.attention_mask,
            names.position_ids,
            names.past_key_names,
            names.past_value_names,
            outputs.logits,
            outputs.present_key_names,
            outputs.present_value_names,
        ),
        architecture=model.type,
        layers=decoder.num_hidden_layers,
        kv_heads=decoder.num_key_value_heads or decoder.num_attention_heads,
        head_size=decoder.head_size,
        context_length=model.context_length,
        vocabulary_size=model.vocab_size,
        bos=model.bos_token_id,
        add_bos=settings.add_bos_token is True,
        ends=frozenset(ends),
        special_tokens=_special_tokens(settings),
        template=template,
        template_from=template_from,
        weights_bytes=graph_path.stat().st_size + sum(path.stat().st_size for path in data),
    )


_T = TypeVar("_T")


class _Folder:
    """Opens files of one folder, and keeps a list of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: dict[str, Path] = {}
        root = path.resolve()
        self._roots = [root]
        if root.parent.name == "snapshots":
            self._roots.append(root.parent.parent / "blobs")

    def has(self, name: str) -> bool:
        return (self.path / name).exists()

    def file(self, name: str, bytes_max: int | None = None, *, named_by: Path | None = None) -> Path:
        """The file of that name, which must lie inside the folder."""
        by = f", named by {named_by.name}," if named_by else ""
        relative = Path(name)
        if not name or relative.is_absolute() or ".." in relative.parts or "\0" in name or "\\" in name:
            raise ModelError(
                f"the file {name!r}{by} is not inside the model folder",
                where=str(self.path),
                expected="a path inside the folder",
                actual=name,
                hint="Models may only use files of their own folder: correct the name, or do not use this model.",
            )
        path = self.path / relative
        if not path.is_file():
            raise ModelError(
                f"{name}{by} is missing",
                where=str(self.path),
                expected=_WHAT_A_MODEL_IS,
                hint=f"Expected {_WHAT_A_MODEL_IS}. {_COPY}",
            )
        real = path.resolve()
        if not any(real.is_relative_to(root) for root in self._roots):
            raise ModelError(
                f"{name}{by} is a link that leads out of the model folder",
                where=str(self.path),
                expected="a file inside the folder",
                actual=str(real),
                hint="Put the file itself into the folder.",
            )
        if bytes_max is not None and (size := path.stat().st_size) > bytes_max:
            raise ModelError(
                f"has {size} bytes, at most {bytes_max} are allowed", where=str(path), expected=bytes_max, actual=size
            )
        self.files[relative.as_posix()] = path
        return path

    def json(self, path: Path, form: type[_T]) -> _T:
        try:
            return msgspec.json.decode(path.read_bytes(), type=form)
        except OSError as error:
            raise ModelError(f"cannot be read: {error.strerror}", where=str(path)) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ModelError(
                str(error) or "is nested too deeply",
                where=str(path),
                expected="JSON as the model builder of onnxruntime-genai writes it",
                hint=f"The file is damaged, or written by something else. {_COPY}",
            ) from error

    def external(self, graph_path: Path, graph: Graph) -> list[Path]:
        """The files that hold the graph's weights: there, inside the folder, and long enough."""
        found: dict[str, Path] = {}
        base = graph_path.parent.relative_to(self.path)
        for tensor in graph.external:
            if tensor.location not in found:
                if not tensor.location or Path(tensor.location).is_absolute() or ".." in Path(tensor.location).parts:
                    self.file(tensor.location, named_by=graph_path)
                found[tensor.location] = self.file((base / tensor.location).as_posix(), named_by=graph_path)
            path = found[tensor.location]
            size = path.stat().st_size
            if tensor.offset + tensor.size > size:
                raise ModelError(
                    f"has {size} bytes, and tensor {tensor.name!r} needs {tensor.offset + tensor.size}",
                    where=str(path),
                    expected=tensor.offset + tensor.size,
                    actual=size,
                    hint=f"The file is incomplete or belongs to another graph. {_COPY}",
                )
        return list(found.values())

    def template(self, settings: _TokenizerConfig) -> tuple[str | None, str | None]:
        """Source of the chat template and the file it stands in. The file of its own goes before the key."""
        if self.has(CHAT_TEMPLATE):
            path = self.file(CHAT_TEMPLATE, CONFIG_BYTES_MAX)
            try:
                return path.read_text(encoding="utf-8"), str(path)
            except UnicodeDecodeError as error:
                raise ModelError("is not UTF-8 text", where=str(path), hint=_COPY) from error
        value = settings.chat_template
        where = f"{self.path / TOKENIZER_CONFIG}: chat_template"
        if isinstance(value, list):
            named = {item.get("name"): item.get("template") for item in value if isinstance(item, dict)}
            value = named.get("default")
        if value is None:
            return None, None
        if not isinstance(value, str):
            raise ModelError("must be text, or a list with a template named default", where=where, hint=_COPY)
        return value, where


def _check(path: Path, model: _Model) -> None:
    """The numbers of genai_config.json, before anything is computed or allocated from them."""
    decoder = model.decoder
    bounds = {
        "context_length": (model.context_length, CONTEXT_LENGTH_MIN, CONTEXT_LENGTH_MAX),
        "vocab_size": (model.vocab_size, 1, VOCABULARY_MAX),
        "decoder.head_size": (decoder.head_size, 1, HEADS_MAX),
        "decoder.num_hidden_layers": (decoder.num_hidden_layers, 1, LAYERS_MAX),
        "decoder.num_attention_heads": (decoder.num_attention_heads, 1, HEADS_MAX),
        "decoder.num_key_value_heads": (decoder.num_key_value_heads or 1, 1, HEADS_MAX),
    }
    ends = model.eos_token_id if isinstance(model.eos_token_id, list) else [model.eos_token_id]
    bounds |= {f"eos_token_id {end}": (end, 0, model.vocab_size - 1) for end in ends}
    if model.bos_token_id is not None:
        bounds["bos_token_id"] = (model.bos_token_id, 0, model.vocab_size - 1)
    for key, (value, low, high) in bounds.items():
        if not low <= value <= high:
            raise ModelError(
                f"{key} is {value}, expected {low} to {high}",
                where=f"{path}: model",
                expected=(low, high),
                actual=value,
            )
    names = [decoder.inputs.past_key_names, decoder.inputs.past_value_names]
    names += [decoder.outputs.present_key_names, decoder.outputs.present_value_names]
    for name in names:
        if name.count("%") != 1 or "%d" not in name:
            raise ModelError(f"the name {name!r} must hold %d once, for the layer", where=f"{path}: model.decoder")


def _check_operators(path: Path, graph: Graph) -> None:
    for name in graph.operators:
        if name.rpartition(":")[2] == "EPContext":
            raise ModelError(
                "holds code compiled for one device (EPContext)",
                where=str(path),
                expected="a graph of ordinary operators",
                hint="Take the model's portable graph; no compiled code from a model folder is run.",
            )


def _special_tokens(settings: _TokenizerConfig) -> dict[str, str]:
    """Texts of the special tokens: plain, or the `content` of an object."""
    found: dict[str, str] = {}
    for name in ("bos", "eos", "unk", "pad", "sep", "cls", "mask"):
        value = getattr(settings, f"{name}_token")
        if isinstance(value, dict):
            value = value.get("content")
        if isinstance(value, str):
            found[f"{name}_token"] = value
    return found
