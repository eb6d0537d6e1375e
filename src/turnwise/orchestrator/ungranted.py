"""Python agents that call `finish` and are not granted to end the run: their turn would fail at that call.

The sources are read, not run. A call is found on the turn itself: the first parameter of the function `turn`, or a
parameter that is annotated as `Turn`. A call by another way is not reported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from turnwise.core.grants import may_finish
from turnwise.errors import Problem
from turnwise.orchestrator.python_sources import parsed
from turnwise.world import Resolved

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def ungranted(world: Resolved) -> list[Problem]:
    """Return a warning for each Python kind without the grant `finish` whose source ends the run."""
    found: list[Problem] = []
    for kind in world.kinds:
        if kind.source.language != "python" or may_finish((kind.grants,)):
            continue
        for name, content in kind.source.files:
            if not name.endswith(".py"):
                continue
            tree = parsed(content)
            line = None if tree is None else min(_calls(tree, is_entry=name == kind.source.entry), default=None)
            if line is not None:
                found.append(
                    Problem(
                        f"{world.where('agents', kind.name, 'source')}: {name}:{line}",
                        "it ends the run by finish, which it is not granted: a turn that does fails",
                        f"Grant it: finish = true in [agents.{kind.name}.grants].",
                        is_warning=True,
                    )
                )
                break
    return found


def _calls(tree: ast.Module, *, is_entry: bool) -> Iterator[int]:
    """Lines of calls of `finish` on a turn."""
    for node in ast.walk(tree):
        if isinstance(node, Function):
            turns = _turns(node, is_turn=is_entry and isinstance(node, ast.FunctionDef) and node.name == "turn")
            for part in ast.walk(node):
                match part:
                    case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="finish")) if name in turns:
                        yield part.lineno


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
