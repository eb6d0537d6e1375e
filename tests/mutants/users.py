"""The lines that what a module makes at import can matter to: where the names that it binds are used."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path

from tests.mutants.changes import Mutant
from tests.mutants.reach import Line

_WORD = re.compile(r"\w+")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def names_of(mutant: Mutant) -> set[str]:
    """Return the names that are bound where a change is that runs at import: constants, members, functions, classes."""
    found: set[str] = set()
    body = ast.parse(mutant.path.read_text(encoding="utf-8")).body
    while body:
        around = [node for node in body if node.lineno <= mutant.lines.start <= (node.end_lineno or node.lineno)]
        body = []
        for node in around:
            if isinstance(node, Function):
                found.add(node.name)
            elif isinstance(node, ast.ClassDef):
                found.add(node.name)
                body = node.body
            elif isinstance(node, ast.If | ast.Try | ast.With | ast.For):
                body = [child for child in ast.walk(node) if isinstance(child, ast.stmt) and child is not node]
            found |= _bound(node)
    return found


def lines_that_use(names: set[str], paths: Iterable[Path]) -> set[Line]:
    """Return the lines of functions that use one of these names, or one that is made of them outside of functions."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in paths}
    names = set(names)
    count = -1
    while len(names) != count:
        count = len(names)
        for tree in trees.values():
            for node in _outside_functions(tree.body):
                if isinstance(node, ast.Assign | ast.AnnAssign) and node.value and _uses(node.value, names):
                    names |= _bound(node)
    found: set[Line] = set()
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, Function) and (node.name in names or _uses(node, names)):
                first = node.body[0].lineno
                found |= {(str(path), line) for line in range(first, (node.end_lineno or first) + 1)}
    return found


def files_that_name(names: set[str], files: Iterable[str]) -> set[str]:
    """Return the files that name one of the constants among some names."""
    constants = [name for name in names if name.isupper()]
    return {
        file for file in files if constants and not set(constants).isdisjoint(_WORD.findall(Path(file).read_text()))
    }


def _outside_functions(body: list[ast.stmt]) -> Iterable[ast.stmt]:
    for node in body:
        yield node
        if not isinstance(node, Function):
            for field in ("body", "orelse", "handlers", "finalbody"):
                yield from _outside_functions(getattr(node, field, []))


def _bound(node: ast.stmt) -> set[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}


def _uses(root: ast.AST, names: set[str]) -> bool:
    return any(
        (isinstance(node, ast.Name) and node.id in names)
        or (isinstance(node, ast.Attribute) and node.attr in names)
        or (isinstance(node, ast.keyword) and node.arg in names)
        for node in ast.walk(root)
    )
