"""Python agents that do what they are not granted: end the run by `finish`, which fails the turn, or call a tool.

The sources are read, not run. A call is found on the turn itself: the first parameter of the function `turn`, or a
parameter that is annotated as `Turn`; a tool by its name where that stands in the call. Other ways are not reported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from turnwise.core.grants import is_pattern, may_call, may_finish, pattern
from turnwise.errors import Problem
from turnwise.orchestrator.known_tools import name_hint
from turnwise.orchestrator.python_sources import parsed
from turnwise.world import Resolved
from turnwise.world.meaning.resolve import ResolvedKind
from turnwise.world.problems import nearest, quoted

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

NOTHING: Final[Mapping[str, Sequence[str]]] = {}
TOOLS_REPORTED_MAX: Final = 20
"""Tools of one kind of agent that are reported."""


@dataclass(frozen=True, slots=True, order=True)
class FoundCall:
    """A call on a turn, in the source of an agent."""

    line: int
    """Line."""
    tool: str | None
    """Name of the tool that is called; None: the run is ended."""


def ungranted(world: Resolved, known: Mapping[str, Sequence[str]] = NOTHING) -> list[Problem]:
    """Return a warning for each Python kind that ends the run, and for each tool that it calls, without a grant.

    `known` has tools by their server, where they are known; a call of another is warned of, too.
    """
    found: list[Problem] = []
    for kind in world.kinds:
        if kind.source.language != "python":
            continue
        reported: set[str | None] = {None} if may_finish((kind.grants,)) else set()
        for name, content in kind.source.files:
            tree = parsed(content) if name.endswith(".py") else None
            if tree is None:
                continue
            for call in sorted(_calls(tree, is_entry=name == kind.source.entry), key=_first_lines):
                if call.tool in reported or len(reported - {None}) >= TOOLS_REPORTED_MAX:
                    continue
                reported.add(call.tool)
                where = f"{world.where('agents', kind.name, 'source')}: {name}:{call.line}"
                problem = (
                    _finish_problem(where, kind)
                    if call.tool is None
                    else _tool_problem(where, call.tool, kind, world, known)
                )
                found += [] if problem is None else [problem]
    return found


def _first_lines(call: FoundCall) -> tuple[int, str]:
    return call.line, call.tool or ""


def _finish_problem(where: str, kind: ResolvedKind) -> Problem:
    return Problem(
        where,
        "it ends the run by finish, which it is not granted: a turn that does fails",
        f"Grant it: finish = true in [agents.{kind.name}.grants].",
        is_warning=True,
    )


def _tool_problem(
    where: str, tool: str, kind: ResolvedKind, world: Resolved, known: Mapping[str, Sequence[str]]
) -> Problem | None:
    server, dot, _ = tool.partition(".")
    servers = [one.name for one in world.tools]
    if server not in servers:
        close = nearest(server, servers)
        hint = f"Did you mean {quoted(close)}?" if close else f"Add a table [tools.{server}], or mend the name."
        return Problem(
            where, f"it calls {quoted(tool)}, and there is no tool server {quoted(server)}", hint, is_warning=True
        )
    if dot and tool not in known.get(server, (tool,)):
        message = f"it calls {quoted(tool)}, and {quoted(server)} has no such tool"
        return Problem(where, message, name_hint(tool, known[server]), is_warning=True)
    if may_call((kind.grants,), server, tool) or (not dot and _may_call_any(kind, server)):
        return None
    return Problem(
        where,
        f"it calls {quoted(tool)}, which it is not granted: the call is denied",
        f'Grant it: call = ["{tool}"] in [agents.{kind.name}.grants].',
        is_warning=True,
    )


def _may_call_any(kind: ResolvedKind, server: str) -> bool:
    """Return whether some tool of a server is granted: the name of a server alone stands for its only one."""
    entries = [entry.partition(".")[0] for entry in (*kind.grants.call, *kind.grants.approve)]
    return any(entry == server or (is_pattern(entry) and pattern(entry).fullmatch(server)) for entry in entries)


def _calls(tree: ast.Module, *, is_entry: bool) -> Iterator[FoundCall]:
    """Calls of `finish`, `call` and `call_all` on a turn."""
    for node in ast.walk(tree):
        if isinstance(node, Function):
            turns = _turns(node, is_turn=is_entry and isinstance(node, ast.FunctionDef) and node.name == "turn")
            for part in ast.walk(node):
                match part:
                    case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="finish")) if name in turns:
                        yield FoundCall(part.lineno, None)
                    case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="call")) if name in turns:
                        yield from _named(_argument(part, "name"))
                    case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="call_all")) if name in turns:
                        match _argument(part, "calls"):
                            case ast.List(elts=items) | ast.Tuple(elts=items):
                                for item in items:
                                    yield from _named(
                                        item.elts[0] if isinstance(item, ast.Tuple) and item.elts else item
                                    )


def _argument(call: ast.Call, name: str) -> ast.expr | None:
    """Return the first argument of a call, by its place or its name."""
    if call.args:
        return call.args[0]
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


def _named(node: ast.expr | None) -> Iterator[FoundCall]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield FoundCall(node.lineno, node.value)


def _turns(function: Function, *, is_turn: bool) -> set[str]:
    """Names of the parameters that are turns."""
    arguments = [*function.args.posonlyargs, *function.args.args]
    names = {arguments[0].arg} if is_turn and arguments else set()
    for argument in [*arguments, *function.args.kwonlyargs]:
        if argument.annotation is not None:
            text = ast.unparse(argument.annotation).strip("'\"")
            if text.rpartition(".")[2] == "Turn":
                names.add(argument.arg)
    return names
