"""The agent that executes the code of `run_python`: one turn is one run, and its state the result.

A run is a turn of this agent in a sandbox of its own, so it has all that a turn has: limits, chance and clocks that
follow from the run's seed, and an end that is the same wherever it is executed.
"""

from __future__ import annotations

import ast
import sys
import traceback
from types import CodeType, ModuleType
from typing import Any

from turnwise_guest.jsontext import NotJSON, canonical
from turnwise_guest.runtime.failure import describe
from turnwise_guest.turn import Turn

EXPRESSION_CHARS_MAX = 1000
"""Length of code up to which it is tried whether it is one expression: trying is not free where it is not."""

FILE = "code.py"
"""Name of the code in tracebacks."""


def turn(t: Turn) -> None:
    """Execute `code` of the arguments, with `input` as a global variable."""
    t.state = run(t.args["code"], t.args["input"])


def run(code: str, value: Any) -> dict[str, Any]:
    """Return ``{"value": …}``, or ``{"error": …, "failure": …}`` with the text of what was raised."""
    module = ModuleType("__main__")
    module.__dict__["input"] = value
    sys.modules["__main__"] = module
    try:
        found = _execute(code, module.__dict__)
    except SystemExit as end:
        if end.code is None or end.code == 0:
            return {"value": None}
        told = f"SystemExit: {end.code}".encode("utf-8", "backslashreplace").decode()
        return {"error": told, "failure": "raised"}
    except MemoryError as error:
        traceback.clear_frames(error.__traceback__)
        return {
            "error": "MemoryError: the code asked for more memory than it may have (`memory_mib` of the agent's kind)",
            "failure": "memory",
        }
    except BaseException as error:
        return {"error": describe(error, {FILE: code}.get, {FILE}.__contains__), "failure": "raised"}
    try:
        canonical(found, "the value of the last expression")
    except (NotJSON, ValueError, TypeError) as error:
        return {"error": str(error), "failure": "output"}
    return {"value": found}


def _execute(code: str, names: dict[str, Any]) -> Any:
    """Execute code, and return the value of its last statement if that is an expression."""
    expression = _expression(code)
    if expression is not None:
        return eval(expression, names)
    tree = ast.parse(code, FILE)
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr):
        exec(_compiled(tree), names)
        return None
    del tree.body[-1]
    exec(_compiled(tree), names)
    return eval(_compiled(ast.Expression(last.value)), names)


def _expression(code: str) -> CodeType | None:
    """Compile code that is one short expression and nothing else, without its syntax tree as objects; else None.

    What could be told of it differs in no way: white space in front, which only an expression may have, and escapes, of
    which Python may warn each time that it reads them, take the long way.
    """
    if len(code) > EXPRESSION_CHARS_MAX or code[:1].isspace() or "\n" in code or "\\" in code:
        return None
    try:
        compiled: CodeType = compile(code, FILE, "eval", dont_inherit=True)
    except Exception:  # it is something else, and what is wrong with it the long way tells
        return None
    return compiled


def _compiled(tree: ast.Module | ast.Expression) -> CodeType:
    mode = "exec" if isinstance(tree, ast.Module) else "eval"
    code: CodeType = compile(tree, FILE, mode, dont_inherit=True)
    return code
