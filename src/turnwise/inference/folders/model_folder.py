"""Reads a model folder, in either convention, and says everything that is wrong with it before it is loaded.

The folder is data, and not trusted: nothing in it is executed or unpickled, and no file outside it is opened (see
`files`). What its convention says about the decoder is read by `layouts`; tokenizer and template are alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec

from turnwise.errors import ModelError
from turnwise.inference.folders.files import CONFIG_BYTES_MAX, COPY, WHAT_A_MODEL_IS, FolderFiles
from turnwise.inference.folders.layouts import genai, optimum
from turnwise.inference.folders.layouts.layout import Layout
from turnwise.inference.onnx.operators import check_operators

TOKENIZER: Final = "tokenizer.json"
TOKENIZER_CONFIG: Final = "tokenizer_config.json"
CHAT_TEMPLATE: Final = "chat_template.jinja"
TOKENIZER_BYTES_MAX: Final = 256 * 1024 * 1024


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
class ModelFolder:
    """A model folder, read and checked as far as is possible without loading the graph.

    path: the folder.
    layout: what it says of the decoder.
    files: all files that decide what the model computes, by their name inside the folder.
    tokenizer_path: the tokenizer's file.
    add_bos: whether prompts begin with BOS, as the tokenizer's configuration says.
    special_tokens: the special tokens' texts, by what they are for.
    template, template_from: the chat template's source, and the file it stands in; None where there is none.
    weights_bytes: the size of the graph and of the files that hold its weights.
    """

    path: Path
    layout: Layout
    files: Mapping[str, Path]
    tokenizer_path: Path
    add_bos: bool
    special_tokens: Mapping[str, str]
    template: str | None
    template_from: str | None
    weights_bytes: int


def variants(path: Path) -> list[str]:
    """Names that `variant` may have for this folder, the one first that is taken when none is named."""
    return genai.variants(path) if _is_genai(path) else optimum.variants(path)


def read_model_folder(path: Path, variant: str | None = None) -> ModelFolder:
    """Read a model folder. Raises ModelError, naming the file, what is expected of it, and what to do."""
    if not path.is_dir():
        found = "is a file, not a folder" if path.exists() else "does not exist"
        raise ModelError(found, where=str(path), expected=WHAT_A_MODEL_IS, hint=f"Expected {WHAT_A_MODEL_IS}.")
    files, layout = _read_layout(path, variant)
    check_operators(layout.graph_path, layout.graph)
    data = files.external(layout.graph_path, layout.graph)
    tokenizer_path = files.file(TOKENIZER, TOKENIZER_BYTES_MAX)
    settings = _TokenizerConfig()
    if files.has(TOKENIZER_CONFIG):
        settings = files.json(files.file(TOKENIZER_CONFIG, CONFIG_BYTES_MAX), _TokenizerConfig)
    template, template_from = _template(files, settings)
    return ModelFolder(
        path=path,
        layout=layout,
        files=dict(sorted(files.files.items())),
        tokenizer_path=tokenizer_path,
        add_bos=settings.add_bos_token is True,
        special_tokens=_special_tokens(settings),
        template=template,
        template_from=template_from,
        weights_bytes=layout.graph_path.stat().st_size + sum(path.stat().st_size for path in data),
    )


def _is_genai(path: Path) -> bool:
    return (path / genai.CONFIG).exists() or not (path / optimum.CONFIG).exists()


def _read_layout(path: Path, variant: str | None) -> tuple[FolderFiles, Layout]:
    files = FolderFiles(path)
    if not _is_genai(path):
        return files, optimum.read(files, variant)
    if variant is None and not files.has(genai.CONFIG) and (there := genai.variants(path)):
        raise ModelError(
            "is no model itself, but holds such folders",
            where=str(path),
            expected=there,
            hint=f"Name one of them as the variant: {', '.join(there)}.",
        )
    if variant is None:
        return files, genai.read(files)
    there = genai.variants(path)
    if variant not in there:
        has = f"There: {', '.join(there)}." if there else "The folder holds one model only: name no variant."
        raise ModelError(f"there is no variant {variant!r}", where=str(path), expected=there, actual=variant, hint=has)
    files = FolderFiles(path / variant)
    return files, replace(genai.read(files), variant=variant)


def _template(files: FolderFiles, settings: _TokenizerConfig) -> tuple[str | None, str | None]:
    """Source of the chat template and the file it stands in. The file of its own goes before the key."""
    if files.has(CHAT_TEMPLATE):
        path = files.file(CHAT_TEMPLATE, CONFIG_BYTES_MAX)
        try:
            return path.read_text(encoding="utf-8"), str(path)
        except UnicodeDecodeError as error:
            raise ModelError("is not UTF-8 text", where=str(path), hint=COPY) from error
    value = settings.chat_template
    where = f"{files.path / TOKENIZER_CONFIG}: chat_template"
    if isinstance(value, list):
        named = {item.get("name"): item.get("template") for item in value if isinstance(item, dict)}
        value = named.get("default")
    if value is None:
        return None, None
    if not isinstance(value, str):
        raise ModelError("must be text, or a list with a template named default", where=where, hint=COPY)
    return value, where


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
