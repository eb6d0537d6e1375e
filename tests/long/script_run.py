"""WebAssembly's scripts played by an engine: each module made as the sandbox makes it, each assertion decided by bits.

Calls go through a module of our own, which passes arguments as bits and writes results as bits: Python's numbers would
lose what is in a NaN. Modules are compiled, stored and loaded again as by builder and worker, and run in a store with
the sandbox's limits, on its stack. Only the number of instances is not bounded, since a script is made of many.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import wasmtime
from wasmtime import TrapCode

from tests.long.wast import FORMATS, Pattern, Sheet, number, read
from turnwise.sandbox.execute.module import TABLE_ELEMENTS_MAX
from turnwise.world.limits import MEMORY_MIB_MAX

FUEL = 1_000_000_000
"""Fuel of each call and each start function."""

SPECTEST = """(module
  (global (export "global_i32") i32 (i32.const 666)) (global (export "global_i64") i64 (i64.const 666))
  (global (export "global_f32") f32 (f32.const 666.6)) (global (export "global_f64") f64 (f64.const 666.6))
  (table (export "table") 10 20 funcref) (memory (export "memory") 1 2)
  (func (export "print")) (func (export "print_i32") (param i32)) (func (export "print_i64") (param i64))
  (func (export "print_f32") (param f32)) (func (export "print_f64") (param f64))
  (func (export "print_i32_f32") (param i32 f32)) (func (export "print_f64_f64") (param f64 f64)))"""
"""The module that scripts expect under the name "spectest"."""

CODES: dict[str, frozenset[TrapCode]] = {
    "out of bounds memory access": frozenset({TrapCode.MEMORY_OUT_OF_BOUNDS}),
    "out of bounds table access": frozenset({TrapCode.TABLE_OUT_OF_BOUNDS}),
    "out of bounds": frozenset({TrapCode.MEMORY_OUT_OF_BOUNDS, TrapCode.TABLE_OUT_OF_BOUNDS}),
    "undefined": frozenset({TrapCode.TABLE_OUT_OF_BOUNDS}),
    "uninitialized": frozenset({TrapCode.INDIRECT_CALL_TO_NULL}),
    "indirect call": frozenset({TrapCode.BAD_SIGNATURE}),
    "callIndirect": frozenset({TrapCode.BAD_SIGNATURE}),
    "integer overflow": frozenset({TrapCode.INTEGER_OVERFLOW}),
    "integer divide by zero": frozenset({TrapCode.INTEGER_DIVISION_BY_ZERO}),
    "invalid conversion to integer": frozenset({TrapCode.BAD_CONVERSION_TO_INTEGER}),
    "unreachable": frozenset({TrapCode.UNREACHABLE}),
    "call stack exhausted": frozenset({TrapCode.STACK_OVERFLOW}),
    "null": frozenset({TrapCode.NULL_REFERENCE}),
}
"""Traps by the beginning of their names in scripts, longer ones first."""

SLOT_BYTES = 16
STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one line of a script."""

    line: int
    kind: str
    """Head of the line, as "assert_return"."""
    verdict: str
    """One of these.

    - "as expected"
    - "other": not what the script says
    - "feature off": a valid module that the engine does not take, and another one does
    - "refused": a module that neither takes
    - "without its module: feature off", "without its module: refused": a line that needs such a module
    """
    said: str = ""
    """What was found instead, or why it was refused."""


class Refused(Exception):
    """A module that the engine or its reader of text does not take. `verdict` is that of its line."""

    def __init__(self, said: str, verdict: str = "refused") -> None:
        super().__init__(said)
        self.verdict = verdict


@dataclass(slots=True)
class _Call:
    """A call or a look at a global, kept until the next module begins."""

    line: Sheet
    found: wasmtime.Func | wasmtime.Global
    kind: str
    """Type to import it by."""
    results: list[str]
    """Types of its results."""
    body: str
    """Instructions that leave the results on the stack."""


def play(script: bytes, engine: wasmtime.Engine, wider: wasmtime.Engine) -> list[Finding]:
    """Play a script and return what came of each of its lines. `wider` is an engine with more features.

    Raises `NotAScript`.
    """
    return list(_Script(engine, wider).play(read(script)))


class _Script:
    def __init__(self, engine: wasmtime.Engine, wider: wasmtime.Engine) -> None:
        self._engine, self._wider = engine, wider
        self._store = store = wasmtime.Store(engine)
        store.set_limits(memory_size=MEMORY_MIB_MAX * 1024 * 1024, table_elements=TABLE_ELEMENTS_MAX)
        self._linker = wasmtime.Linker(engine)
        self._linker.allow_shadowing = True
        self._named: dict[str, wasmtime.Instance | Finding] = {}
        self._last: wasmtime.Instance | Finding = Finding(1, "module", "refused")
        self._calls: list[_Call] = []
        store.set_fuel(FUEL)
        self._linker.define_instance(store, "spectest", self._linker.instantiate(store, self._loaded(SPECTEST)))

    def play(self, lines: list[Sheet]) -> Iterator[Finding]:
        if lines and not any(line.head == "module" or line.head.startswith("assert") for line in lines):
            whole = b"(module " + b"\n".join(line.text for line in lines) + b")"
            lines = [Sheet(("module", *lines), whole, 1)]  # fields of one module, without its parentheses
        for line in lines:
            first = line.items[1] if len(line.items) > 1 else None
            if line.head in ("invoke", "get"):
                yield from self._keep(line, line)
            elif isinstance(first, Sheet) and first.head in ("invoke", "get"):
                yield from self._keep(line, first)
            else:
                yield from self._answers()
                yield self._at_once(line, first)
        yield from self._answers()

    def _at_once(self, line: Sheet, first: Sheet | str | bytes | None) -> Finding:
        if line.head == "module":
            return self._module(line)
        if line.head == "register":
            instance = self._instance_of([item for item in line.items[2:] if isinstance(item, str)])
            if isinstance(instance, Finding):
                return Finding(line.line, line.head, f"without its module: {instance.verdict}")
            assert isinstance(first, bytes)
            self._linker.define_instance(self._store, first.decode(), instance)
            return Finding(line.line, line.head, "as expected")
        assert isinstance(first, Sheet), line.text
        assert first.head == "module", line.text
        if line.head in ("assert_invalid", "assert_malformed"):
            try:
                self._compiled(first)
            except Refused:
                return Finding(line.line, line.head, "as expected")
            return Finding(line.line, line.head, "other", "the module is taken")
        try:
            module = self._compiled(first)
        except Refused as refused:
            return Finding(line.line, line.head, refused.verdict, str(refused))
        said = "the module is instantiated"
        try:
            self._instance(module)
        except wasmtime.Trap as trap:
            said = str(trap.trap_code)
            if line.head == "assert_trap" and trap.trap_code in codes(expected_text(line)):
                return Finding(line.line, line.head, "as expected")
        except wasmtime.WasmtimeError as error:
            said = last_line(error)
            if line.head == "assert_unlinkable":
                return Finding(line.line, line.head, "as expected")
        return Finding(line.line, line.head, "other", said)

    def _module(self, line: Sheet) -> Finding:
        named = [item for item in line.items[1:2] if isinstance(item, str) and item.startswith("$")]
        finding = Finding(line.line, "module", "as expected")
        try:
            self._last = self._instance(self._compiled(line))
        except Refused as refused:
            self._last = finding = Finding(line.line, "module", refused.verdict, str(refused))
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            self._last = finding = Finding(line.line, "module", "refused", f"not linked: {last_line(error)}")
        self._named |= dict.fromkeys(named, self._last)
        return finding

    def _instance_of(self, names: list[str]) -> wasmtime.Instance | Finding:
        """The instance that a line names, or the last one; of a module that was not taken, what came of it."""
        return self._named[names[0]] if names else self._last

    def _instance(self, module: wasmtime.Module) -> wasmtime.Instance:
        self._store.set_fuel(FUEL)
        return self._linker.instantiate(self._store, module)

    def _compiled(self, line: Sheet) -> wasmtime.Module:
        """The module of a list: text, `(module quote "…")` or `(module binary "…")`. Raises `Refused`."""
        words = [item for item in line.items[1:3] if isinstance(item, str)]
        parts = b"".join(item for item in line.items if isinstance(item, bytes))
        if "binary" in words:
            return self._loaded(parts)
        if "quote" in words:
            text = parts if parts.lstrip().startswith(b"(module") else b"(module " + parts + b")"
            return self._loaded(self._binary(text))
        return self._loaded(self._binary(STRING.sub(in_ascii, line.text)))

    def _binary(self, text: bytes) -> bytes:
        try:
            return bytes(wasmtime.wat2wasm(text))
        except wasmtime.WasmtimeError as error:
            raise Refused(f"not read: {next(iter(str(error).splitlines()), '')}") from None

    def _loaded(self, code: bytes | str) -> wasmtime.Module:
        try:
            stored = wasmtime.Module(self._engine, code).serialize()
        except wasmtime.WasmtimeError as error:
            said = f"not valid: {last_line(error)}"
            try:
                wasmtime.Module(self._wider, code)
            except wasmtime.WasmtimeError:
                raise Refused(said) from None
            raise Refused(said, "feature off") from None
        return wasmtime.Module.deserialize(self._engine, bytes(stored))

    def _keep(self, line: Sheet, action: Sheet) -> Iterator[Finding]:
        """Keep a call for `_answers`; what cannot be asked is said at once."""
        items = [item for item in action.items[1:] if not (isinstance(item, str) and item.startswith("$"))]
        names = [item for item in action.items[1:] if isinstance(item, str) and item.startswith("$")]
        instance = self._instance_of(names)
        if isinstance(instance, Finding):
            yield Finding(line.line, line.head, f"without its module: {instance.verdict}")
            return
        name, *given = items
        assert isinstance(name, bytes)
        found = instance.exports(self._store).get(name.decode())
        assert isinstance(found, wasmtime.Func | wasmtime.Global), line.text
        arguments = [item for item in given if isinstance(item, Sheet)]
        values = [item for item in line.items[2:] if isinstance(item, Sheet)]
        if isinstance(found, wasmtime.Global):
            content = found.type(self._store).content
            kind = f"(global {{}} {f'(mut {content})' if found.type(self._store).mutable else content})"
            self._calls.append(_Call(line, found, kind, [str(content)], "(global.get {})"))
            return
        if any(value.head == "v128.const" for value in (*arguments, *values)):
            # The engine's interface ends the process when it is asked for such a type.
            params, results = ([value.head.partition(".")[0] for value in part] for part in (arguments, values))
        else:
            asked = found.type(self._store)
            params, results = [str(param) for param in asked.params], [str(result) for result in asked.results]
        kind = f"(func {{}} (param {' '.join(params)}) (result {' '.join(results)}))"
        body = " ".join(argument(value) for value in arguments) + " (call {})"
        self._calls.append(_Call(line, found, kind, results, body))

    def _answers(self) -> Iterator[Finding]:
        """Play the calls that were kept, in their order."""
        calls, self._calls = self._calls, []
        if not calls:
            return
        imports, functions = [], []
        for index, call in enumerate(calls):
            imports.append(f'(import "" "{index}" {call.kind.format(f"$i{index}")})')
            slots = [f"$r{place} {result}" for place, result in enumerate(call.results)]
            take = " ".join(f"(local.set $r{place})" for place in reversed(range(len(slots))))
            put = " ".join(stored(place, result) for place, result in enumerate(call.results))
            body = " ".join((*(f"(local {slot})" for slot in slots), call.body.format(f"$i{index}"), take, put))
            functions.append(f'(func (export "{index}") {body})')
        text = f'(module {" ".join(imports)} (memory (export "memory") 1) {" ".join(functions)})'
        asker = wasmtime.Instance(self._store, self._loaded(text), [call.found for call in calls])
        exports = asker.exports(self._store)
        memory = exports["memory"]
        assert isinstance(memory, wasmtime.Memory)
        for index, call in enumerate(calls):
            function = exports[str(index)]
            assert isinstance(function, wasmtime.Func)
            self._store.set_fuel(FUEL)
            trap: TrapCode | None = None
            try:
                function(self._store)
            except wasmtime.Trap as error:
                trap = error.trap_code
            data = bytes(memory.read(self._store, 0, SLOT_BYTES * len(call.results)))
            slots_found = [
                int.from_bytes(data[place : place + SLOT_BYTES], "little") for place in range(0, len(data), SLOT_BYTES)
            ]
            said = difference(call.line, call.results, slots_found, trap)
            yield Finding(call.line.line, call.line.head, "other" if said else "as expected", said)


def difference(line: Sheet, types: list[str], found: list[int], trap: TrapCode | None) -> str:
    """What a call came to other than its line says; empty if it is as expected."""
    if line.head in ("assert_trap", "assert_exhaustion"):
        wanted = codes(expected_text(line))
        return "" if trap in wanted else f"{trap or 'no trap'} instead of {sorted(map(str, wanted))}"
    if trap is not None:
        return f"{trap}"
    if line.head == "invoke":
        return ""
    if line.head in ("assert_return_canonical_nan", "assert_return_arithmetic_nan", "assert_return_nan"):
        kind = "nan:canonical" if "canonical" in line.head else "nan:arithmetic"
        patterns = [number(result, kind) for result in types]
    else:
        assert line.head == "assert_return", line.head
        patterns = [pattern(item) for item in line.items[2:] if isinstance(item, Sheet)]
    if len(patterns) == len(found) and all(one.holds(bits) for one, bits in zip(patterns, found, strict=True)):
        return ""
    return f"{[hex(bits) for bits in found]} instead of {[hex(one.bits) for one in patterns]}"


def pattern(value: Sheet) -> Pattern:
    """What a value of a script may look like in a slot."""
    if value.head == "v128.const":
        shape, *lanes = (item for item in value.items[1:] if isinstance(item, str))
        bits = mask = 0
        width = 128 // len(lanes)  # of integers, it counts: Binaryen's scripts call sixteen lanes i32x4 too
        for place, lane in enumerate(lanes):
            one = number(f"{shape[0]}{width}", lane)
            bits, mask = bits | one.bits << place * width, mask | one.mask << place * width
        return Pattern(bits, mask)
    if value.head.startswith("ref."):
        return Pattern(int(value.head == "ref.null"), 1)
    assert isinstance(value.items[1], str)
    return number(value.head.partition(".")[0], value.items[1])


def argument(value: Sheet) -> str:
    """The instruction that makes a value of a script, of its bits."""
    if value.head == "ref.null":
        return f"(ref.null {value.items[1]})"
    bits = pattern(value).bits
    kind = value.head.partition(".")[0]
    if kind == "v128":
        return f"(v128.const i64x2 {bits & (1 << 64) - 1} {bits >> 64})"
    if kind in FORMATS:
        return f"({kind}.reinterpret_i{kind[1:]} (i{kind[1:]}.const {bits}))"
    return f"({kind}.const {bits})"


def stored(place: int, kind: str) -> str:
    """The instructions that write a result into its slot; of references, whether they are null."""
    address = f"(i32.const {place * SLOT_BYTES})"
    clear = f"(v128.store {address} (v128.const i64x2 0 0))"
    if kind.startswith(("i", "f3", "f6", "v")):
        return f"{clear} ({kind}.store {address} (local.get $r{place}))"
    return f"{clear} (i32.store {address} (ref.is_null (local.get $r{place})))"


def expected_text(line: Sheet) -> str:
    """The text of a trap that a line names; empty if it names none."""
    texts = [item for item in line.items[2:] if isinstance(item, bytes)]
    return texts[0].decode() if texts else ""


def codes(text: str) -> frozenset[TrapCode]:
    """The traps that a text of a script stands for; all of them if it is empty."""
    if not text:
        return frozenset(TrapCode) - {TrapCode.OUT_OF_FUEL}
    return next(found for begin, found in CODES.items() if text.startswith(begin))


def in_ascii(string: re.Match[bytes]) -> bytes:
    """A string literal without what the engine's reader of text refuses since people could be misled by it."""
    return b"".join(b"\\%02x" % byte if byte > 127 else bytes([byte]) for byte in string[0])


def last_line(error: Exception) -> str:
    return next(reversed(str(error).strip().splitlines()), "").strip()
