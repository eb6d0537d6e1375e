"""Reads the folder of an embedding model: what its own configuration says about pooling, length and normalisation.

The convention is sentence-transformers': `modules.json` lists what comes after the transformer, `1_Pooling/config.json`
says how tokens become one vector. A folder without them is pooled by the mean, and not normalised.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from turnwise.errors import ModelError
from turnwise.inference.folders.files import CONFIG_BYTES_MAX, COPY, FolderFiles
from turnwise.inference.folders.task import MODULES
from turnwise.inference.folders.variants import GraphChoice, choose_graph

Pooling = Literal["mean", "cls", "max", "lasttoken"]

TOKENIZER_BYTES_MAX: Final = 256 * 1024 * 1024
TOKENS_MAX_DEFAULT: Final = 512
TOKENS_MAX_MAX: Final = 1_048_576
_MODES: Final[dict[str, Pooling]] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "lasttoken",
}


@dataclass(frozen=True, slots=True)
class EmbedFolder:
    """The folder of an embedding model.

    - `files`: all files that decide the vectors
    - `graph`: the graph that is taken
    - `tokenizer`: its tokenizer.json
    - `pooling`: of the tokens' vectors
    - `normalise`: whether vectors have length 1
    - `tokens_max`: of a text
    - `lower`: whether texts are in lower case
    """

    files: FolderFiles
    graph: GraphChoice
    tokenizer: Path
    pooling: Pooling
    normalise: bool
    tokens_max: int
    lower: bool


class _Module(msgspec.Struct):
    type: str
    path: str = ""


class _Length(msgspec.Struct):
    max_seq_length: Any = None
    do_lower_case: Any = False
    model_max_length: Any = None
    max_position_embeddings: Any = None


def read_embed_folder(path: Path, variant: str | None = None) -> EmbedFolder:
    """Read it. `variant` chooses among its graphs. Raises ModelError for what is missing or not supported."""
    if not path.is_dir():
        raise ModelError(
            "is no folder",
            where=str(path),
            expected="a folder with model.onnx or onnx/model.onnx, and tokenizer.json",
            hint="Export the model to ONNX with its tokenizer, for instance with optimum-cli.",
        )
    files = FolderFiles(path)
    graph = choose_graph(path, variant, "embed")
    tokenizer = files.file("tokenizer.json", TOKENIZER_BYTES_MAX)
    pooling, normalise = _modules(files)
    tokens_max, lower = _length(files)
    return EmbedFolder(files, graph, tokenizer, pooling, normalise, tokens_max, lower)


def _modules(files: FolderFiles) -> tuple[Pooling, bool]:
    if not files.has(MODULES):
        return _pooling(files, "1_Pooling") if files.has("1_Pooling/config.json") else "mean", False
    path = files.file(MODULES, CONFIG_BYTES_MAX)
    pooling: Pooling | None = None
    normalise = False
    for module in files.json(path, list[_Module]):
        kind = module.type.rpartition(".")[2]
        if kind == "Pooling":
            pooling = _pooling(files, module.path)
        elif kind == "Normalize":
            normalise = True
        elif kind != "Transformer":
            raise ModelError(
                f"has a module {kind!r}, which is not supported",
                where=str(path),
                expected=["Transformer", "Pooling", "Normalize"],
                actual=module.type,
                hint="Its vectors would be others without it: take another model, or export it into the graph.",
            )
    return pooling or "mean", normalise


def _pooling(files: FolderFiles, folder: str) -> Pooling:
    path = files.file(f"{folder}/config.json", CONFIG_BYTES_MAX)
    settings = files.json(path, dict[str, Any])
    found = sorted(key for key, value in settings.items() if key.startswith("pooling_mode_") and value is True)
    mode = settings.get("pooling_mode")
    if isinstance(mode, str):
        found = [key for key, name in _MODES.items() if name == mode] or [mode]
    if len(found) != 1 or found[0] not in _MODES:
        raise ModelError(
            f"asks for the pooling {' and '.join(found) or 'of no kind'}, which is not supported",
            where=str(path),
            expected=sorted(_MODES),
            actual=found,
            hint="One of them is supported at a time: take another model.",
        )
    return _MODES[found[0]]


def _length(files: FolderFiles) -> tuple[int, bool]:
    """Return the smallest of the limits that the folder states; sentence-transformers' own goes before the others."""
    found: dict[str, int] = {}
    lower = False
    for name in ("sentence_bert_config.json", "tokenizer_config.json", "config.json"):
        if not files.has(name):
            continue
        path = files.file(name, CONFIG_BYTES_MAX)
        settings = files.json(path, _Length)
        lower = lower or (name == "sentence_bert_config.json" and settings.do_lower_case is True)
        for key in ("max_seq_length", "model_max_length", "max_position_embeddings"):
            value = getattr(settings, key)
            if isinstance(value, int | float) and not isinstance(value, bool):
                if value < 1:
                    raise ModelError(
                        f"{key} is {value}", where=str(path), expected="at least 1", actual=value, hint=COPY
                    )
                if value <= TOKENS_MAX_MAX:  # tokenizers without a limit write 10**30
                    found[key] = int(value)
    return min(found.values(), default=TOKENS_MAX_DEFAULT), lower
