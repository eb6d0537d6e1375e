"""The files of an interpreter, in the source tree and in a wheel: a module, and a description that has its hash."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MODULE = "interpreter.wasm"
DESCRIPTION = "interpreter.json"


@dataclass(frozen=True, slots=True)
class Built:
    """Result of a build.

    - `content`: bytes of the module
    - `facts`: members of the description that only the build knows
    - `beside`: other files that go along, by name
    """

    content: bytes
    facts: Mapping[str, Any]
    beside: Mapping[str, bytes]


def keep_built(folder: Path, inputs: str, make: Callable[[], Built], *, force: bool = False) -> Path:
    """Make module and description below `folder` if they are not those of `inputs`; return the folder."""
    module, description = folder / MODULE, folder / DESCRIPTION
    if not force and _is_built(module, description, inputs):
        return folder
    built = make()
    facts = {
        **built.facts,
        "bytes": len(built.content),
        "inputs": inputs,
        "sha256": hashlib.sha256(built.content).hexdigest(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in built.beside.items():
        _write(folder / name, content)
    # The description goes last: whoever sees it finds the module that it describes, or one that does not fit.
    _write(module, built.content)
    _write(description, (json.dumps(facts, indent=2, sort_keys=True) + "\n").encode())
    return folder


def digest(tools: str, root: Path, files: Iterable[Path]) -> str:
    """SHA-256 (hex) over everything that a module is made of: the tools, and names and contents of files."""
    found = hashlib.sha256(f"{tools}\n".encode())
    for path in files:
        content = path.read_bytes()
        found.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode())
        found.update(content)
    return found.hexdigest()


def source_files(root: Path, sources: Iterable[str], suffixes: tuple[str, ...]) -> list[Path]:
    """Files that are named, and those with these suffixes in folders that are; in an order that no machine changes."""
    files = []
    for source in sources:
        path = root / source
        found = [path] if path.is_file() else [p for p in path.rglob("*") if p.suffix in suffixes]
        files += sorted(found, key=lambda p: p.relative_to(root).as_posix())
    return files


def _is_built(module: Path, description: Path, inputs: str) -> bool:
    try:
        facts = json.loads(description.read_text(encoding="utf-8"))
        content = module.read_bytes()
        return bool(facts["inputs"] == inputs and facts["sha256"] == hashlib.sha256(content).hexdigest())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _write(target: Path, content: bytes) -> None:
    """Put a file into its place at once."""
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    beside.write_bytes(content)
    beside.replace(target)
