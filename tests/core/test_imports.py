"""Imports of core: of the standard library only what neither acts nor asks the machine anything."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import turnwise.core

CORE = Path(turnwise.core.__path__[0])
PURE = frozenset(
    {
        "__future__", "binascii", "collections", "collections.abc", "dataclasses", "enum", "functools", "hashlib",
        "heapq", "itertools", "json", "json.encoder", "math", "operator", "re", "types", "typing",
    }
)  # fmt: skip
ACTING = frozenset({"__import__", "eval", "exec", "hash", "id", "input", "open", "print"})
OURS = ("turnwise.core", "turnwise.errors")


def imported(source: str) -> set[str]:
    """Modules that a source names in its imports, wherever they stand, and the built-in functions of `ACTING`."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ACTING:
            found.add(node.func.id)
    return found


def impure(source: str) -> set[str]:
    """What a source imports that core may not."""
    return {name for name in imported(source) - PURE if not name.startswith(tuple(f"{ours}." for ours in OURS))} - {
        *OURS
    }


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=lambda path: path.stem)
def test_core_imports_nothing_that_acts(path: Path) -> None:
    assert not impure(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import time", {"time"}),
        ("import json, random", {"random"}),
        ("from os import environ", {"os"}),
        ("from os.path import join", {"os.path"}),
        ("def f():\n    import secrets", {"secrets"}),
        ("if False:\n    from uuid import uuid4", {"uuid"}),
        ("time = __import__('time')", {"__import__"}),
        ("open('file')", {"open"}),
        ("def f(input): return hash(input)", {"hash"}),
        ("from turnwise.journal.run import Run", {"turnwise.journal.run"}),
        ("from turnwise.corelike import x", {"turnwise.corelike"}),
        ("from . import head", {"."}),
        ("import numpy as np", {"numpy"}),
        ("import json\nfrom turnwise.core.head import x\nfrom turnwise.errors import y", set()),
    ],
)
def test_what_acts_would_be_found(source: str, found: set[str]) -> None:
    assert impure(source) == found
