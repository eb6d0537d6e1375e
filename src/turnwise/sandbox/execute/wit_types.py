"""Component types as text, so that an import's signature can be compared with what the host answers."""

from __future__ import annotations

from typing import Any

from wasmtime import component as wc

_PLAIN: dict[type, str] = {
    wc.Bool: "bool",
    wc.S8: "s8",
    wc.U8: "u8",
    wc.S16: "s16",
    wc.U16: "u16",
    wc.S32: "s32",
    wc.U32: "u32",
    wc.S64: "s64",
    wc.U64: "u64",
    wc.F32: "f32",
    wc.F64: "f64",
    wc.Char: "char",
    wc.String: "string",
    wc.OwnType: "own",
    wc.BorrowType: "borrow",
}


class UnsupportedType(Exception):
    """A type that cannot pass between a component and this host (streams, futures, error contexts)."""


def signature(function: wc.FuncType) -> str:
    """Return a function's type as WIT without names of parameters and resources: `func(own, u64) -> string`."""
    params = ", ".join(_text(kind) for _, kind in function.params)
    result = function.result
    return f"func({params})" if result is None else f"func({params}) -> {_text(result)}"


def _text(kind: Any) -> str:
    plain = _PLAIN.get(type(kind))
    if plain is not None:
        return plain
    match kind:
        case wc.ListType():
            return f"list<{_text(kind.element)}>"
        case wc.TupleType():
            return f"tuple<{', '.join(_text(element) for element in kind.elements)}>"
        case wc.RecordType():
            return f"record<{', '.join(f'{name}: {_text(field)}' for name, field in kind.fields)}>"
        case wc.OptionType():
            return f"option<{_text(kind.payload)}>"
        case wc.ResultType():
            return f"result<{_or_none(kind.ok)}, {_or_none(kind.err)}>"
        case wc.VariantType():
            cases = (name if case is None else f"{name}({_text(case)})" for name, case in kind.cases)
            return f"variant<{', '.join(cases)}>"
        case wc.EnumType():
            return f"enum<{', '.join(kind.names)}>"
        case wc.FlagsType():
            return f"flags<{', '.join(kind.names)}>"
        case _:
            raise UnsupportedType(type(kind).__name__)


def _or_none(kind: Any) -> str:
    return "_" if kind is None else _text(kind)
