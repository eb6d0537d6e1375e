"""Types of functions as text: what the host's functions are looked up by."""

from __future__ import annotations

import wasmtime
from wasmtime import component as wc

from turnwise.sandbox.execute.wit_types import signature

TYPES = {
    '(param "a" u8) (param "b" string) (result bool)': "func(u8, string) -> bool",
    "": "func()",
    '(param "a" $r)': "func(record<x: u32, y: f64>)",
    '(param "a" $v)': "func(variant<none, some(s64)>)",
    '(param "a" $e)': "func(enum<red, green>)",
    '(param "a" $f)': "func(flags<up, down>)",
    '(param "a" (list char)) (result (option u16))': "func(list<char>) -> option<u16>",
    '(param "a" (tuple s8 f32)) (result (result u64 (error string)))': "func(tuple<s8, f32>) -> result<u64, string>",
    "(result (result))": "func() -> result<_, _>",
}


def test_every_kind_of_type_has_its_text(engine: wasmtime.Engine) -> None:
    imports = "".join(f'(import "f{number}" (func {text}))' for number, text in enumerate(TYPES))
    component = wc.Component(
        engine,
        f"""(component
          (type $record (record (field "x" u32) (field "y" f64))) (import "r" (type $r (eq $record)))
          (type $variant (variant (case "none") (case "some" s64))) (import "v" (type $v (eq $variant)))
          (type $enum (enum "red" "green")) (import "e" (type $e (eq $enum)))
          (type $flags (flags "up" "down")) (import "g" (type $f (eq $flags)))
          {imports})""",
    )
    found = component.type.imports(engine)
    functions = {name: item.ty for name, item in found.items() if isinstance(item.ty, wc.FuncType)}
    assert [signature(functions[f"f{number}"]) for number in range(len(TYPES))] == list(TYPES.values())
