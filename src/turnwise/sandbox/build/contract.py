"""The contract between guest and host, checked before anything runs: imports and exports, by name and type.

What is not allowed is refused when the code is prepared, with its name, so that no turn fails because of it later.
"""

from __future__ import annotations

import wasmtime
from wasmtime import component as wc

from turnwise.sandbox.execute.component import EFFECT, TURN
from turnwise.sandbox.execute.wasi import HOST_FUNCTIONS, WASI_NAME
from turnwise.sandbox.execute.wasi_core import core_function
from turnwise.sandbox.execute.wit_types import UnsupportedType, signature

TEXT_TO_TEXT = "func(string) -> string"

MODULE_FUNCTIONS = {"turnwise_alloc": "(i32) -> i32", "turnwise_turn": "(i32, i32) -> i64"}
MODULE_EFFECTS = {
    "turnwise.effect": "(i32, i32) -> i64",
    "turnwise.effect_bytes": "(i32, i32, i32, i32) -> i64",
}
MODULE_LAYOUT = ("__data_end", "__heap_base")
"""Immutable globals that linkers export to say where data ends. The host does not read them."""

COMPONENT_TOOLING = ("exports",)
"""Interfaces that toolchains export for themselves (componentize-py). The host does not call them."""


class ContractError(Exception):
    """Imports or exports that the contract does not have; the text names all of them, one a line."""


def check_module(module: wasmtime.Module) -> None:
    """Check the imports and exports of a core module; raises `ContractError`."""
    problems = [_import_problem(item) for item in module.imports]
    exports = {item.name: item.type for item in module.exports}
    for name, expected in MODULE_FUNCTIONS.items():
        kind = exports.pop(name, None)
        if kind is None:
            problems.append(f"it does not export `{name}{expected}`")
        elif not isinstance(kind, wasmtime.FuncType):
            problems.append(f"its export `{name}` is not a function; it must be `{name}{expected}`")
        elif _core_signature(kind) != expected:
            problems.append(f"its export `{name}` is {_core_signature(kind)}; it must be {expected}")
    if not isinstance(exports.pop("memory", None), wasmtime.MemoryType):
        problems.append("it does not export its `memory`")
    problems += [
        f"it exports `{name}`, which is not part of the contract"
        for name, kind in exports.items()
        if name not in MODULE_LAYOUT or not isinstance(kind, wasmtime.GlobalType)
    ]
    _raise(problems)


def check_component(component: wc.Component, engine: wasmtime.Engine) -> None:
    """Check the imports and exports of a component; raises `ContractError`."""
    kind = component.type
    problems: list[str | None] = []
    for name, item in kind.imports(engine).items():
        problems += _component_import_problems(name, item.ty, engine)
    exports = {name: item.ty for name, item in kind.exports(engine).items()}
    turn = exports.pop(TURN, None)
    if not isinstance(turn, wc.FuncType):
        problems.append(f"it does not export the function `{TURN}`: {TEXT_TO_TEXT}")
    elif (actual := _signature(turn)) != TEXT_TO_TEXT:
        problems.append(f"its export `{TURN}` is {actual}; it must be {TEXT_TO_TEXT}")
    problems += [
        f"it exports `{name}`, which is not part of the contract" for name in exports if name not in COMPONENT_TOOLING
    ]
    _raise(problems)


def _import_problem(item: wasmtime.ImportType) -> str | None:
    path = f"{item.module}.{item.name}"
    expected = MODULE_EFFECTS.get(path)
    if expected is None:
        function = core_function(item.module, item.name or "")
        if function is None:
            return (
                f"it imports `{path}`, which is not provided; "
                f"a core module may import `{'`, `'.join(MODULE_EFFECTS)}` and functions of WASI 0.2 only"
            )
        expected = function.signature
    if not isinstance(item.type, wasmtime.FuncType):
        return f"its import `{path}` must be a function {expected}"
    if expected and _core_signature(item.type) != expected:
        return f"its import `{path}` must be a function {expected}"
    return None


def _core_signature(kind: wasmtime.FuncType) -> str:
    params = ", ".join(str(param) for param in kind.params)
    results = ", ".join(str(result) for result in kind.results)
    return f"({params}) -> {results or '()'}"


def _component_import_problems(name: str, kind: wc.ComponentItem, engine: wasmtime.Engine) -> list[str | None]:
    if name == EFFECT:
        if isinstance(kind, wc.FuncType) and _signature(kind) == TEXT_TO_TEXT:
            return []
        return [f"its import `{EFFECT}` must be a function: {TEXT_TO_TEXT}"]
    match = WASI_NAME.fullmatch(name)
    if match is None or not isinstance(kind, wc.ComponentInstanceType):
        return [f"it imports `{name}`, which is not provided; a component may import `{EFFECT}` and WASI 0.2 only"]
    return [
        _wasi_problem(name, f"{match[1]}.{member}", member, item.ty) for member, item in kind.exports(engine).items()
    ]


def _wasi_problem(interface: str, path: str, member: str, kind: wc.ComponentItem) -> str | None:
    if isinstance(kind, wc.FuncType):
        actual = _signature(kind)
        answer = HOST_FUNCTIONS.get(path)
        if answer is not None and actual != answer.signature:
            return f"its import `{interface}` has `{member}` as {actual}; WASI 0.2 says {answer.signature}"
        if actual.startswith("unsupported"):
            return f"its import `{interface}` has `{member}` with an {actual}"
    elif isinstance(kind, (wc.ComponentType, wc.ModuleType, wc.ComponentInstanceType)):
        return f"its import `{interface}` has `{member}`, which is neither a function nor a type"
    return None


def _signature(function: wc.FuncType) -> str:
    try:
        return signature(function)
    except UnsupportedType as error:
        return f"unsupported type ({error})"


def _raise(problems: list[str | None]) -> None:
    found = [problem for problem in problems if problem is not None]
    if found:
        raise ContractError("\n".join(found))
