"""The task of a model, recognised from what lies at its path where the world does not say."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from turnwise.inference.folders.files import CONFIG_BYTES_MAX
from turnwise.inference.plans.model_spec import ModelSpec, Task

MODULES: Final = "modules.json"


class _Architectures(msgspec.Struct):
    architectures: list[str] = []


def task_of(spec: ModelSpec) -> Task:
    """Return the task that is asked for, or what the path shows: `generate` where it shows nothing else.

    A .onnx file, or a folder with one (in onnx/ too) and without any configuration, is a graph to `infer`.
    sentence-transformers' modules.json, or a config.json of an encoder (`BertModel`, not `LlamaForCausalLM`), means
    `embed`.
    """
    if spec.task is not None:
        return spec.task
    path = spec.path
    if path.suffix == ".onnx" and not path.is_dir():
        return "infer"
    if not path.is_dir() or (path / "genai_config.json").exists():
        return "generate"
    if (path / MODULES).is_file():
        return "embed"
    if (path / "config.json").is_file():
        return "embed" if _is_encoder(path / "config.json") else "generate"
    graphs = any(path.glob("*.onnx")) or any(path.glob("onnx/*.onnx"))
    return "infer" if graphs and not (path / "tokenizer.json").exists() else "generate"


def _is_encoder(path: Path) -> bool:
    """Return True if a config.json is an encoder's. An unreadable one is left to the reader of language models."""
    try:
        if path.stat().st_size > CONFIG_BYTES_MAX:
            return False
        names = msgspec.json.decode(path.read_bytes(), type=_Architectures).architectures
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return bool(names) and all(name.endswith("Model") and not name.endswith("LMHeadModel") for name in names)
