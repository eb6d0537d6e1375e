"""The source of a function that is given as an agent: its text, and that of what it uses of its file.

What travels is text, compiled like any agent's, so it can be hashed and kept. Of the file's global names it may use
imports, other functions and constants; whatever else it uses is no text, and is refused with what to do instead.
"""

from __future__ import annotations

import ast
import builtins
import dis
import inspect
import keyword
import math
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

from turnwise.world.files import Refused
from turnwise.world.problems import quoted

_CONSTANTS: Final = (bool, int, float, str, bytes, type(None))
_INSTEAD: Final = (
    "Agents keep nothing but text. Give the value as args= (the function has it as t.args), define it inside of the "
    "function, or write the agent as a file."
)


def function_text(function: Any) -> str:
    """Return the text of a module whose `turn` is the function. Raises Refused for what has no such text."""
    _check(function)
    if inspect.isgeneratorfunction(function):
        raise Refused(
            f"{function.__name__} is a generator, since it has a `yield`", "Nothing would run it: leave it out."
        )
    found = _Used()
    found.add(function)
    name = function.__name__
    parts = ["from __future__ import annotations\n", *found.texts()]
    if name != "turn":
        parts.append(f"turn = {name}\n")
    return "\n".join(parts)


def folder_of(function: Any) -> Path | None:
    """Return the folder of the function's file, whose modules it may import; None where it has no file."""
    file = Path(function.__code__.co_filename)
    return file.parent if file.is_file() else None


class _Used:
    """A function and all that it uses of its file, as texts: imports and constants by name, functions in order."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._functions: dict[str, tuple[FunctionType, str]] = {}

    def texts(self) -> Iterator[str]:
        """Yield the texts in an order in which they can be executed."""
        if self._names:
            yield "".join([f"{line}\n" for _, line in sorted(self._names.items())])
        for _, text in sorted(
            self._functions.values(), key=lambda item: (item[0].__code__.co_firstlineno, item[0].__name__)
        ):
            yield f"\n{text}"

    def add(self, function: FunctionType) -> None:
        """Add a function, and what it uses."""
        name = function.__name__
        if (known := self._functions.get(name)) is not None:
            if known[0] is not function:
                raise Refused(f"two functions are called {quoted(name)}", "Rename one of them.")
            return
        text = _text(function)
        self._functions[name] = function, text
        for used in sorted(_globals_of(function.__code__) | _defaults(text)):
            if used in function.__globals__:
                self._add_name(function, used, function.__globals__[used])
            elif not hasattr(builtins, used):
                raise Refused(
                    f"{name} uses {quoted(used)}, which its file does not have", "Define it, or correct the name."
                )

    def _add_name(self, function: FunctionType, name: str, value: object) -> None:
        if isinstance(value, FunctionType) and value.__module__ == function.__module__:
            if value.__name__ != name:
                hint = f"Call it by the name with which it is defined, {value.__name__}."
                raise Refused(f"{function.__name__} uses the function {value.__name__} as {quoted(name)}", hint)
            _check(value)
            self.add(value)
            return
        line = _import(name, value, function.__module__) or _constant(name, value)
        if line is None:
            raise Refused(
                f"{function.__name__} uses {quoted(name)}, a global of type {type(value).__name__}, which cannot "
                "travel with it",
                _INSTEAD,
            )
        if self._names.setdefault(name, line) != line:
            raise Refused(f"two things are called {quoted(name)}", "Rename one of them.")


def _check(function: Any) -> None:
    """Refuse what is no function that stands by itself in a file."""
    if not isinstance(function, FunctionType):
        raise Refused(
            f"an object of type {type(function).__name__} is no source",
            "Give a function that is defined with def, a path, or the source itself.",
        )
    name = function.__name__
    if name == "<lambda>" or not name.isidentifier() or keyword.iskeyword(name):
        raise Refused("a lambda cannot be an agent", "Define a function with def: its text is what travels.")
    if function.__closure__:
        variables = ", ".join(function.__code__.co_freevars)
        raise Refused(
            f"{name} uses variables of the function around it: {variables}",
            f"Define {name} outside of it, and give such values as args= (the function has them as t.args).",
        )
    if inspect.isasyncgenfunction(function) or inspect.iscoroutinefunction(function):
        raise Refused(f"{name} is an async function", "Define it with def: effects wait by themselves.")


def _text(function: FunctionType) -> str:
    """Return the text of a function's definition, without what is around it."""
    name = function.__name__
    try:
        text = textwrap.dedent(inspect.getsource(function))
        tree = ast.parse(text)
    except (OSError, TypeError):
        raise Refused(
            f"the text of {name} cannot be found", "Define it in a file, or give its source as text."
        ) from None
    except SyntaxError as error:
        raise Refused(f"the text of {name} cannot be read by itself: {error.msg}", "Define it in its own lines.") from (
            None
        )
    node = tree.body[0] if len(tree.body) == 1 else None
    if not isinstance(node, ast.FunctionDef):
        raise Refused(f"{name} is no function that is defined with def", "Define it with def, in its own lines.")
    if node.decorator_list:
        raise Refused(f"{name} has decorators, which would run in each turn", "Define it without.")
    if node.name != name:
        raise Refused(f"{name} is defined as {node.name}", "Give the function as it was defined.")
    return text if text.endswith("\n") else text + "\n"


def _globals_of(code: CodeType) -> set[str]:
    """Names that code and the functions within it look up in the file, or set there."""
    found = {one.argval for one in dis.get_instructions(code) if one.opname.endswith(("_GLOBAL", "_NAME"))}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names = _globals_of(constant)
            found |= names - set(constant.co_varnames) if constant.co_name != "<module>" else names
    return {name for name in found if not (name.startswith("__") and name.endswith("__"))}


def _defaults(text: str) -> set[str]:
    """Names in the default values of a definition, which are looked up where it is defined."""
    node = ast.parse(text).body[0]
    if not isinstance(node, ast.FunctionDef):
        return set()
    values = [*node.args.defaults, *[value for value in node.args.kw_defaults if value is not None]]
    return {part.id for value in values for part in ast.walk(value) if isinstance(part, ast.Name)}


def _import(name: str, value: object, own_file: str) -> str | None:
    """Return the line that imports a value under a name; None if nothing does, or it is of the function's own file."""
    if isinstance(value, ModuleType):
        dotted = value.__name__ if sys.modules.get(value.__name__) is value else None
        if dotted is None or dotted in ("__main__", own_file):
            return None
        return f"import {dotted}" if dotted == name else f"import {dotted} as {name}"
    module, own = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(own, str) or not own.isidentifier():
        return None
    if module in ("__main__", own_file):
        return None
    for dotted in (module.lstrip("_"), module.partition(".")[0], module):
        if getattr(sys.modules.get(dotted), own, None) is value:
            return f"from {dotted} import {own}" + ("" if own == name else f" as {name}")
    return None


def _constant(name: str, value: object) -> str | None:
    """Return the line that gives a name its value, if that is a constant."""
    return f"{name} = {value!r}" if _is_constant(value) else None


def _is_constant(value: object) -> bool:
    if type(value) is tuple:
        return all(map(_is_constant, value))
    if type(value) is float:
        return math.isfinite(value)
    return type(value) in _CONSTANTS
