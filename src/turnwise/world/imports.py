"""Which local modules a Python agent imports, read from its text without running it.

What is not found beside the agent (the standard library, the SDK) is left to the interpreter. Imports by a computed
name cannot be seen.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from pathlib import Path

SDK = "turnwise_guest"
"""The agents' SDK is part of the interpreter; a copy beside an agent, there for an editor, never travels."""

_UNUSED = frozenset({"__pycache__", "node_modules", "site-packages"})


class NotParsed(Exception):
    """The text is not Python to this interpreter. It may well be to a newer one."""


def local_modules(text: str, name: str, folder: Path) -> list[str]:
    """Files below `folder` that the module `name` imports, as relative names with `/`, in order of first mention."""
    package = tuple(name.split("/")[:-1])
    found: dict[str, None] = {}
    for dotted in _imports(_parse(text), package):
        if dotted[0] != SDK:
            found.update(dict.fromkeys(_files(dotted, folder)))
    return list(found)


def all_modules(folder: Path) -> Iterator[str]:
    """All Python files below `folder` in order of name, without hidden folders and what tools leave there."""
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.name in _UNUSED or entry.name.partition(".")[0] == SDK:
            continue
        if entry.suffix == ".py" and entry.is_file():
            yield entry.name
        elif entry.is_dir() and not entry.is_symlink() and not (entry / "pyvenv.cfg").exists():
            for name in all_modules(entry):
                yield f"{entry.name}/{name}"


def _parse(text: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NotParsed from error


def _imports(tree: ast.Module, package: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Dotted names of what is imported anywhere in a module that lies in `package`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield tuple(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            up = node.level - 1
            if up > len(package):
                continue
            base = package[: len(package) - up] if node.level else ()
            module = (*base, *(node.module.split(".") if node.module else ()))
            if module:
                yield module
            for alias in node.names:
                if alias.name != "*":
                    yield (*module, alias.name)


def _files(dotted: tuple[str, ...], folder: Path) -> Iterator[str]:
    """The files that importing a dotted name loads: the packages on the way, then the module."""
    for length in range(1, len(dotted) + 1):
        name = "/".join(dotted[:length])
        place = folder / name
        if (place / "__init__.py").is_file():
            yield f"{name}/__init__.py"
        elif (folder / f"{name}.py").is_file():
            yield f"{name}.py"
            return
        elif not place.is_dir():
            return
