"""The functions of WASI that a core module imports, as its carriers call them."""

from __future__ import annotations

from dataclasses import dataclass

import wasmtime

from turnwise.errors import InvariantError
from turnwise.sandbox.execute.wasi_core import Answer, core_function

BITS = {"i32": 32, "i64": 64}


@dataclass(frozen=True, slots=True)
class HostImport:
    """An import of a function of WASI."""

    module: str
    """Interface, with its version."""
    name: str
    """Name of the function."""
    type: wasmtime.FuncType
    """Type with which the module imports it."""
    answer: Answer
    """Implementation."""
    masks: tuple[int, ...]
    """For each parameter the bits that it has."""
    result_bits: int
    """Bits of the result; 0 if there is none."""


def host_imports(module: wasmtime.Module) -> tuple[HostImport, ...]:
    """Return the imports of a module that came through the check, without `turnwise.effect`."""
    found = []
    for item in module.imports:
        if item.module == "turnwise":
            continue
        name, kind = item.name or "", item.type
        function = core_function(item.module, name)
        if function is None or not isinstance(kind, wasmtime.FuncType):
            raise InvariantError(f"a module that imports {item.module}.{name} came through the check")
        try:
            masks = tuple((1 << BITS[str(one)]) - 1 for one in kind.params)
            (bits,) = [BITS[str(one)] for one in kind.results] or [0]
        except (KeyError, ValueError):
            if function.signature:
                raise InvariantError(
                    f"a module whose import {name!r} is not as agreed came through the check"
                ) from None
            masks, bits = (0,) * len(kind.params), 0  # it ends the turn whatever it is given
        found.append(HostImport(item.module, name, kind, function.answer, masks, bits))
    return tuple(found)
