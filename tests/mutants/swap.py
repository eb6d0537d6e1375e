"""The code of a module's functions with a change in it, put in the place of the code that is loaded."""

from __future__ import annotations

import ast
from types import CodeType, FunctionType

from tests.mutants.changes import Mutant, mutated

Place = tuple[str, int]
"""The qualified name of a function and its first line."""
FUNCTION_FLAG = 1
"""The flag of a code object that is a function's (`CO_OPTIMIZED`), not a module's or a class's."""


def replacements(mutant: Mutant) -> dict[Place, CodeType] | None:
    """Return the code of a changed module's functions by their place; None if what is outside them is changed too."""
    before = compile(ast.parse(mutant.path.read_text(encoding="utf-8")), str(mutant.path), "exec", dont_inherit=True)
    after = compile(mutated(mutant), str(mutant.path), "exec", dont_inherit=True)
    if _outside(before) != _outside(after):
        return None
    return functions(after)


def replace(live: list[FunctionType], codes: dict[Place, CodeType]) -> bool:
    """Give functions their changed code; False if one cannot be given it."""
    for function in live:
        code = codes.get((function.__code__.co_qualname, function.__code__.co_firstlineno))
        if code is None:
            return False
        try:
            function.__code__ = code
        except ValueError:  # it refers to other variables of the function around it
            return False
    return True


def functions(code: CodeType) -> dict[Place, CodeType]:
    """Return the code of all functions by qualified name and first line."""
    found: dict[Place, CodeType] = {}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_flags & FUNCTION_FLAG:
                found[constant.co_qualname, constant.co_firstlineno] = constant
            found |= functions(constant)
    return found


def _outside(code: CodeType) -> object:
    """Return all of a module's or a class's code that is not in a function, as something to be compared."""
    constants = [
        (("function", constant.co_qualname) if constant.co_flags & FUNCTION_FLAG else ("class", _outside(constant)))
        if isinstance(constant, CodeType)
        else (type(constant), repr(constant))
        for constant in code.co_consts
    ]
    return code.co_code, code.co_names, constants
