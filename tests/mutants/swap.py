"""The code of a module's functions with a change in it, put in the place of the code that is loaded."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from types import CodeType, FunctionType

from tests.mutants.changes import Mutant, mutated

Place = tuple[str, int]
"""The qualified name of a function and its first line."""
INSIDE = "<locals>"
"""Stands in the qualified names of functions inside others: these have the code from the one around them."""
FUNCTION_FLAG = 1
"""The flag of a code object that is a function's (`CO_OPTIMIZED`), not a module's or a class's."""
COMPREHENSIONS = ("<genexpr>", "<listcomp>", "<setcomp>", "<dictcomp>")
"""Names of code that is executed where it stands: its functions are gone when it has been."""


def replacements(mutant: Mutant) -> dict[Place, CodeType] | None:
    """Return the code that a change gives to functions, by their place.

    None if something outside of functions is changed too, or if two functions are at one place.
    """
    before = compile(ast.parse(mutant.path.read_text(encoding="utf-8")), str(mutant.path), "exec", dont_inherit=True)
    after = compile(mutated(mutant), str(mutant.path), "exec", dont_inherit=True)
    if _outside(before) != _outside(after):
        return None
    known, found = set(functions(before)), list(functions(after))
    changed = {place_of(code): code for code in found if code not in known}
    places = Counter(map(place_of, found))
    return None if any(places[place] > 1 for place in changed) else changed


def replace(live: list[FunctionType], codes: dict[Place, CodeType]) -> bool:
    """Give functions their changed code; False if one that is to have it is not there, or cannot be given it."""
    missing = {place for place in codes if INSIDE not in place[0]}
    for function in live:
        place = place_of(function.__code__)
        if place not in codes:
            continue
        try:
            function.__code__ = codes[place]
        except ValueError:  # it refers to other variables of the function around it
            return False
        missing.discard(place)
    return not missing


def place_of(code: CodeType) -> Place:
    """Return the place of a function's code."""
    return code.co_qualname, code.co_firstlineno


def functions(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of all functions, in order."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if is_function(constant):
                yield constant
            yield from functions(constant)


def is_function(code: CodeType) -> bool:
    """Return whether code is that of a function that can be called later."""
    return bool(code.co_flags & FUNCTION_FLAG) and code.co_name not in COMPREHENSIONS


def _outside(code: CodeType) -> object:
    """Return all of a module's or a class's code that is not in a function, as something to be compared."""
    constants = [
        (("function", constant.co_qualname) if is_function(constant) else ("class", _outside(constant)))
        if isinstance(constant, CodeType)
        else (type(constant), repr(constant))
        for constant in code.co_consts
    ]
    return code.co_code, code.co_names, constants
