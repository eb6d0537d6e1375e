"""The changes that are made to a module: each small, each what a person might get wrong."""

from __future__ import annotations

import ast
import copy
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.Add,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}

_Made = tuple[str, Callable[[], None]]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one module. `name` stays the same while the code around it changes lines."""

    module: str
    path: Path
    name: str
    number: int
    """Which change of the module this is, in the order of `changes`."""
    lines: range
    """Lines of the statement in which it is, without those of the statements inside it."""

    @property
    def key(self) -> str:
        return f"{self.module} {self.name}"


def mutants_of(module: str, path: Path) -> list[Mutant]:
    """All changes of a module, named by function, text of the place and change; the same names are numbered."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    seen: dict[str, int] = {}
    found: list[Mutant] = []
    for number, change in enumerate(changes(tree)):
        name = change.name
        seen[name] = seen.get(name, 0) + 1
        found.append(Mutant(module, path, name if seen[name] == 1 else f"{name} #{seen[name]}", number, change.lines))
    return found


def mutated(mutant: Mutant) -> ast.Module:
    """The module with the change."""
    tree = ast.parse(mutant.path.read_text(encoding="utf-8"))
    for number, change in enumerate(changes(tree)):
        if number == mutant.number:
            change.make()
            return ast.fix_missing_locations(tree)
    raise LookupError(mutant.key)


@dataclass(frozen=True, slots=True)
class Change:
    """A place of a tree and what is done to it."""

    name: str
    lines: range
    make: Callable[[], None]
    """Changes the tree."""


def changes(tree: ast.Module) -> Iterator[Change]:
    """All changes of a module, in order."""
    yield from _Places(tree).all()


class _Places:
    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree

    def all(self) -> Iterator[Change]:
        yield from self._block(self._tree.body, "module")

    def _block(self, body: list[ast.stmt], scope: str) -> Iterator[Change]:
        for index, statement in enumerate(body):
            lines = _own_lines(statement)
            for made in self._statement(body, index, statement, scope):
                if isinstance(made, Change):
                    yield made
                else:
                    yield Change(made[0], lines, made[1])

    def _statement(self, body: list[ast.stmt], index: int, node: ast.stmt, scope: str) -> Iterator[_Made | Change]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = node.name if scope == "module" else f"{scope}.{node.name}"
            if not isinstance(node, ast.ClassDef):
                for default in [*node.args.defaults, *filter(None, node.args.kw_defaults)]:
                    yield from self._expressions(default, inner)
            yield from self._block(node.body, inner)
            return
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Assert | ast.Raise | ast.Pass):
            return  # asserts narrow types; what a raise says is for people
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node, ast.If) and ast.unparse(node.test) == "sys.platform == 'win32'" and os.name != "nt":
            yield from self._block(node.orelse, scope)  # what another system does cannot be tried on this one
            return
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return  # a docstring
        if scope != "module" and _is_step(node):
            yield f"{scope}: leave out `{_text(node)}`", _replace(body, index, ast.Pass())
        if isinstance(node, ast.Return) and ast.unparse(node) not in ("return", "return None"):
            yield f"{scope}: `{_text(node)}` returns None", _set(node, "value", ast.Constant(None))
        if isinstance(node, ast.If | ast.While):
            for value in (True, False):
                if isinstance(node, ast.While) and value:
                    continue
                yield f"{scope}: `{_text(node.test)}` is {value}", _set(node, "test", ast.Constant(value))
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "decorator_list", "returns"):
                continue
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, ast.expr):
                    yield from self._expressions(item, scope)
                elif isinstance(item, ast.match_case):
                    if item.guard is not None:
                        yield from self._expressions(item.guard, scope)
                    yield from self._block(item.body, scope)
                elif isinstance(item, ast.excepthandler):
                    yield from self._block(item.body, scope)
            if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                yield from self._block(value, scope)

    def _expressions(self, root: ast.expr, scope: str) -> Iterator[_Made]:
        for node in _walk(root):
            text = _text(node)
            if isinstance(node, ast.Compare):
                for position, operator in enumerate(node.ops):
                    other = COMPARISONS[type(operator)]
                    yield f"{scope}: `{text}` with {other.__name__}", _replace(node.ops, position, other())
            elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS and not _is_text(node):
                other_operator = OPERATORS[type(node.op)]
                yield f"{scope}: `{text}` with {other_operator.__name__}", _set(node, "op", other_operator())
            elif isinstance(node, ast.BoolOp):
                swapped = ast.Or() if isinstance(node.op, ast.And) else ast.And()
                yield f"{scope}: `{text}` with {type(swapped).__name__}", _set(node, "op", swapped)
            elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
                as_it_is = ast.Call(ast.Name("bool", ast.Load()), [node.operand], [])
                yield f"{scope}: `{text}` without not", _become(node, as_it_is)
            elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
                yield f"{scope}: `{text}` without minus", _set(node, "op", ast.UAdd())
            elif isinstance(node, ast.IfExp):
                yield f"{scope}: `{text}` the other way round", _swap(node)
            elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
                yield f"{scope}: {text} is {not node.value}", _set(node, "value", not node.value)
            elif isinstance(node, ast.Constant) and isinstance(node.value, int):
                yield f"{scope}: {text} is {node.value + 1}", _set(node, "value", node.value + 1)


def _walk(root: ast.expr) -> Iterator[ast.expr]:
    """Expressions below one, without what is only said to people (texts with values in them) and annotations."""
    if isinstance(root, ast.JoinedStr):
        return
    yield root
    for child in ast.iter_child_nodes(root):
        if isinstance(child, ast.expr):
            yield from _walk(child)
        elif isinstance(child, ast.comprehension):
            for part in (child.iter, *child.ifs):
                yield from _walk(part)
        elif isinstance(child, ast.keyword):
            yield from _walk(child.value)


def _is_step(node: ast.stmt) -> bool:
    """Whether a statement can be left out without leaving a name undefined."""
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, ast.Yield | ast.YieldFrom)
    return isinstance(node, ast.AugAssign | ast.Continue | ast.Break | ast.Delete)


def _is_text(node: ast.BinOp) -> bool:
    return any(
        isinstance(side, ast.JoinedStr) or (isinstance(side, ast.Constant) and isinstance(side.value, str))
        for side in (node.left, node.right)
    )


def _text(node: ast.AST) -> str:
    return " ".join(ast.unparse(copy.copy(node)).split())[:100]


def _own_lines(node: ast.stmt) -> range:
    """Return the lines of a statement up to the first one of the statements inside it."""
    inside = [
        child.lineno
        for name in ("body", "orelse", "finalbody", "handlers", "cases")
        for part in getattr(node, name, [])
        for child in ([part.pattern] if isinstance(part, ast.match_case) else [part])
    ]
    return range(node.lineno, max(node.lineno + 1, min(inside, default=(node.end_lineno or node.lineno) + 1)))


def _set(node: ast.AST, field: str, value: object) -> Callable[[], None]:
    return lambda: setattr(node, field, value)


def _replace(items: list, index: int, value: object) -> Callable[[], None]:  # type: ignore[type-arg]
    return lambda: items.__setitem__(index, value)


def _swap(node: ast.IfExp) -> Callable[[], None]:
    def swap() -> None:
        node.body, node.orelse = node.orelse, node.body

    return swap


def _become(node: ast.UnaryOp, other: ast.Call) -> Callable[[], None]:
    """Make a node another one in place, since whatever holds it is not known here."""

    def become() -> None:
        node.__class__ = ast.Call  # type: ignore[assignment]
        node.__dict__.update(other.__dict__)

    return become
