"""The local modules that a Python agent imports, read from its text without running it.

What is not found beside the agent (the standard library, the SDK) is left to the interpreter. Imports by a computed
name cannot be seen.
"""

from __future__ import annotations

import ast
import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from turnwise.world.files import Refused, is_file, is_folder
from turnwise.world.problems import quoted

SDK: Final = "turnwise_guest"
"""The agents' SDK is part of the interpreter; a copy beside an agent, there for an editor, never travels."""

_STATEMENT: Final = re.compile(
    r"(?:^|[;:])[ \t]*"
    r"(?:from[ \t]+([\w.]+)[ \t]+import[ \t]*(\([^)]{0,10000}\)|[^;#\n]*)|import[ \t]+([^;#\n]*))",
    re.MULTILINE,
)
_COMMENT: Final = re.compile(r"#[^\n]*")

Import = tuple[int, str, tuple[str, ...]]
"""`from ..a.b import c, d` is (2, "a.b", ("c", "d")); `import a.b` is (0, "a.b", ())."""


def local_modules(text: str, name: str, folder: Path) -> list[str]:
    """Files below `folder` that the module `name` imports, as relative names with `/`, in order of first mention."""
    package = tuple(name.split("/")[:-1])
    found: dict[str, None] = {}
    for dotted in _absolute(_imports(text), package):
        if dotted[0] != SDK:
            found.update(dict.fromkeys(_files(dotted, folder)))
    return list(found)


def _imports(text: str) -> Iterable[Import]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # Wrong, or newer Python than ours that the interpreter in the sandbox knows. It will say which; until then,
        # take whatever looks like an import.
        return _scanned(text)
    return _parsed(tree)


def _parsed(tree: ast.Module) -> Iterator[Import]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield 0, alias.name, ()
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or "", tuple(alias.name for alias in node.names)


def _scanned(text: str) -> Iterator[Import]:
    for base, names, modules in _STATEMENT.findall(text.replace("\\\n", " ")):
        if base:
            module = base.lstrip(".")
            yield len(base) - len(module), module, _first_words(_COMMENT.sub("", names).strip("()"))
        else:
            for module in _first_words(modules):
                yield 0, module, ()


def _first_words(names: str) -> tuple[str, ...]:
    """`a.b as c, d` is ("a.b", "d")."""
    return tuple(words[0] for part in names.split(",") if (words := part.split()))


def _absolute(imports: Iterable[Import], package: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Dotted names, split, of all that may be modules, as they are imported by a module that lies in `package`."""
    for level, module, names in imports:
        up = level - 1
        if up > len(package):
            continue
        base = package[: len(package) - up] if level else ()
        whole = (*base, *filter(None, module.split(".")))
        if whole:
            yield whole
        for name in names:
            if name.isidentifier():
                yield (*whole, name)


def _files(dotted: tuple[str, ...], folder: Path) -> Iterator[str]:
    """Yield the files that importing a dotted name loads: the packages on the way, then the module.

    Raises Refused where file names cannot hold the name: it would be passed over here and travel elsewhere.
    """
    try:
        os.fsencode("/".join(dotted))
    except UnicodeEncodeError:
        encoding = sys.getfilesystemencoding()
        raise Refused(
            f"the module {quoted('.'.join(dotted))} cannot be looked for: file names are {encoding} here",
            "Use a locale with UTF-8, or set PYTHONUTF8=1.",
        ) from None
    for length in range(1, len(dotted) + 1):
        name = "/".join(dotted[:length])
        if is_file(folder / name / "__init__.py"):
            yield f"{name}/__init__.py"
        elif is_file(folder / f"{name}.py"):
            yield f"{name}.py"
            return
        elif not is_folder(folder / name):
            return
