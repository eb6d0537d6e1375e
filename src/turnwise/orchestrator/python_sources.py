"""Python agents that compile and cannot move: no `turn`, or imports that no agent has.

The sources are read, not run. What a text leaves open (`from x import *`, a name made at run time) is not reported.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Collection, Iterator

from turnwise.errors import Problem
from turnwise.world import Resolved, SourceFiles

SDK = "turnwise_guest"
_ASYNC_HINT = "Define it with def: effects wait by themselves."
_CAUGHT = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


def python_problems(world: Resolved, modules: Collection[str]) -> list[Problem]:
    """Problems of all Python agents of a world. `modules`: the standard modules that the interpreter offers."""
    standard = {name.partition(".")[0] for name in modules} | {SDK, "__future__"}
    found: list[Problem] = []
    for kind, source in world.sources.items():
        if source.language == "python":
            where = world.where("agents", kind, "source")
            found += [Problem(f"{where}: {place}", message, hint) for place, message, hint in _of(source, standard)]
    return found


def _of(source: SourceFiles, standard: Collection[str]) -> Iterator[tuple[str, str, str]]:
    local = {name.partition("/")[0].removesuffix(".py") for name, _ in source.files}
    foreign = _of_packages(source)
    for name, content in source.files:
        if not name.endswith(".py") or name in foreign:
            continue
        tree = parsed(content)
        if tree is None:
            continue  # the interpreter says what is wrong with it, or knows newer Python than ours
        if name == source.entry:
            yield from _turn(tree, name)
        reported: set[str] = set()
        for line, module in _imports(tree.body):
            top = module.partition(".")[0]
            if top not in standard and top not in local and top not in reported:
                reported.add(top)
                yield (
                    f"{name}:{line}",
                    f"no agent can import {top}",
                    "Agents have the standard library's pure part (docs/agents-python.md), turnwise_guest, and modules "
                    "that lie beside them. Put the module there if it is pure Python.",
                )


def _of_packages(source: SourceFiles) -> set[str]:
    """Names of the files that came with packages, which were tried in a sandbox when the agent was built."""
    records = [content.decode() for name, content in source.files if name.endswith(".dist-info/RECORD")]
    return {line.partition(",")[0] for record in records for line in record.splitlines()}


def parsed(content: bytes) -> ast.Module | None:
    """Return the syntax tree of a Python source; None if this Python cannot read it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _turn(tree: ast.Module, name: str) -> Iterator[tuple[str, str, str]]:
    missing = True
    for node in _statements(tree.body):
        match node:
            case ast.AsyncFunctionDef(name="turn"):
                yield (
                    f"{name}:{node.lineno}",
                    "turn is an async function",
                    _ASYNC_HINT,
                )
                missing = False
            case ast.FunctionDef(name="turn") | ast.ClassDef(name="turn"):
                missing = False
            case ast.FunctionDef(name="__getattr__") | ast.ImportFrom(names=[ast.alias(name="*"), *_]):
                missing = False
            case ast.Import(names) | ast.ImportFrom(names=names):
                missing = missing and not any((alias.asname or alias.name) == "turn" for alias in names)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                pass
            case _:
                missing = missing and not _sets_turn(node)
    if missing:
        yield name, "it has no function turn", "Define turn(t): it is called once for each turn of the agent."


def _sets_turn(node: ast.stmt) -> bool:
    """Return True if a statement itself, not one inside it, gives the name `turn` a value."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            for part in ast.walk(child):
                if isinstance(part, ast.Name) and part.id == "turn" and isinstance(part.ctx, ast.Store):
                    return True
    return False


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that the module itself executes, those in branches and loops included."""
    for node in body:
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _statements(_inside(node))


def _imports(body: list[ast.stmt]) -> Iterator[tuple[int, str]]:
    """(line, dotted module) of absolute imports, without those that may fail or are for type checkers only."""
    for node in body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            if not node.level and node.module:
                yield node.lineno, node.module
        elif isinstance(node, ast.Try) and any(_catches(handler) for handler in node.handlers):
            yield from _imports([statement for handler in node.handlers for statement in handler.body])
            yield from _imports([*node.orelse, *node.finalbody])
        elif isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            yield from _imports(node.orelse)
        else:
            yield from _imports(_inside(node))


def _inside(node: ast.stmt) -> list[ast.stmt]:
    """Return the statements that a statement holds, in order."""
    found: list[ast.stmt] = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            found.append(child)
        elif isinstance(child, ast.ExceptHandler | ast.match_case):
            found += child.body
    return found


def _catches(handler: ast.ExceptHandler) -> bool:
    """Return True if a handler takes a failed import."""
    if handler.type is None:
        return True
    return any(isinstance(part, ast.Name) and part.id in _CAUGHT for part in ast.walk(handler.type))
