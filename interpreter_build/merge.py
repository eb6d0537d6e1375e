"""One core module of the core modules of a component, which is linked when it is built instead of in every turn.

componentize-py writes a dozen shared libraries, which an engine links by name at every instantiation, and whose table
of functions it then has to fill, element by element, since the table belongs to another module than the elements. In
one module the engine does nothing of the kind: the table is its own and filled as it is used.

Nothing is optimised. Functions keep their bodies but for the indices in them; what nobody calls is left out; and
globals that nobody writes to are constants. What the module needs of the host is imported under the names that core
modules of components use; `effect` and `turn` take the form that core modules of agents have.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from interpreter_build import encoding, instructions
from interpreter_build.component import Bundle, Component, CoreItem, HostFunction, Instantiated, parse_component
from interpreter_build.core_module import HEADER, I32_CONST, Constant, CoreModule, Global, Kind, Section
from interpreter_build.encoding import UnexpectedForm
from interpreter_build.instructions import BLOCKS, CALL, CALL_INDIRECT, GLOBAL_GET, GLOBAL_SET, Reference

I32, I64 = 0x7F, 0x7E
SHIM_TABLE = "$imports"
EFFECT = HostFunction("", "effect")
EFFECT_BYTES = HostFunction("", "effect-bytes")
TURN = "turn"


@dataclass(frozen=True, slots=True)
class _Effect:
    """A function by which a component asks for effects, and the one of core modules that does the same."""

    name: str
    """Name that core modules import it by."""
    parameters: int
    """Numbers that are passed: pointers and lengths."""

    @property
    def type(self) -> bytes:
        """Type of the import: the result is pointer and length in one number."""
        return bytes((0x60, self.parameters, *[I32] * self.parameters, 1, I64))

    @property
    def lowered_type(self) -> bytes:
        """Type by which the code of components calls it: a place for pointer and length comes last."""
        return bytes((0x60, self.parameters + 1, *[I32] * (self.parameters + 1), 0))

    def body(self, imported: int) -> bytes:
        """Return the body of the function that is called as components do, by import `imported`."""
        place = b"\x20" + encoding.unsigned(self.parameters)
        packed = encoding.unsigned(self.parameters + 1)
        arguments = b"".join(b"\x20" + encoding.unsigned(number) for number in range(self.parameters))
        return (
            b"\x01\x01\x7e"  # one local of 64 bits: what the host returns
            + arguments
            + (b"\x10" + encoding.unsigned(imported) + b"\x21" + packed)
            + (place + b"\x20" + packed + b"\x42\x20\x88\xa7\x36\x02\x00")
            + (place + b"\x20" + packed + b"\xa7\x36\x02\x04")
            + b"\x0b"
        )


EFFECTS = {EFFECT: _Effect("effect", 2), EFFECT_BYTES: _Effect("effect_bytes", 4)}
"""The first is imported always, the others where they are called."""

ALLOC_TYPE = bytes((0x60, 1, I32, 1, I32))
REALLOC_TYPE = bytes((0x60, 4, I32, I32, I32, I32, 1, I32))
TURN_TYPE = bytes((0x60, 2, I32, I32, 1, I64))
LIFTED_TURN_TYPE = bytes((0x60, 2, I32, I32, 1, I32))
ALIGNMENT = 8
"""Alignment of what the host asks room for: the largest of the values that it writes."""


@dataclass(frozen=True, order=True, slots=True)
class Defined:
    """Function, table, memory or global that an instance defines."""

    instance: int
    """Index of the core instance."""
    index: int
    """Index in its module."""


Target = Defined | HostFunction


def merge(component: bytes) -> bytes:
    """Return the core module that does what `component` does. Raises `UnexpectedForm`."""
    return _Merger(parse_component(component)).write()


class _Linker:
    """Looks up what the instances of a component import of one another."""

    def __init__(self, component: Component) -> None:
        self._component = component
        self._shim, self._behind_shim = self._find_shim()

    def module_of(self, instance: int) -> CoreModule:
        """Return the module of an instance."""
        found = self._component.instances[instance]
        assert isinstance(found, Instantiated)
        return self._component.modules[found.module]

    def instances(self) -> Iterable[int]:
        """Return the instances of modules, without those that only pass on what is known later, in their order."""
        passing = self._shim
        return [
            number
            for number, found in enumerate(self._component.instances)
            if isinstance(found, Instantiated) and number not in passing
        ]

    def item(self, item: CoreItem, kind: Kind) -> Target:
        """Return what a core item is."""
        if isinstance(item, HostFunction):
            return item
        return self.export(item.instance, item.name, kind)

    def export(self, instance: int, name: str, kind: Kind) -> Target:
        """Return what an instance exports."""
        if instance in self._shim:
            return self.item(self._behind_shim[name], kind)
        found = self._component.instances[instance]
        if isinstance(found, Bundle):
            found_kind, item = found.items[name]
            if found_kind is not kind:
                raise UnexpectedForm(f"{name} is of another kind than what imports it says")
            return self.item(item, kind)
        found_kind, index = self._component.modules[found.module].exports[name]
        if found_kind is not kind:
            raise UnexpectedForm(f"{name} is of another kind than what imports it says")
        return self.index(instance, kind, index)

    def index(self, instance: int, kind: Kind, index: int) -> Target:
        """Return what an index in an instance's module is."""
        found = self._component.instances[instance]
        assert isinstance(found, Instantiated)
        imports = self._component.modules[found.module].imports[kind]
        if index >= len(imports):
            return Defined(instance, index)
        item = imports[index]
        return self.export(found.arguments[item.module], item.name, kind)

    def _find_shim(self) -> tuple[frozenset[int], dict[str, CoreItem]]:
        """Return the instances that pass calls on to what is instantiated after them, and what stands behind each name.

        wit-component writes two modules: functions that call what is in a table, and one that fills the table.
        """
        instances, modules = self._component.instances, self._component.modules
        shims = [
            n
            for n, i in enumerate(instances)
            if isinstance(i, Instantiated) and SHIM_TABLE in modules[i.module].exports
        ]
        fixups = [n for n, i in enumerate(instances) if isinstance(i, Instantiated) and list(i.arguments) == [""]]
        if not shims and not fixups:
            return frozenset(), {}
        if len(shims) != 1 or len(fixups) != 1:
            raise UnexpectedForm(f"{len(shims)} modules that pass calls on, and {len(fixups)} that say where to")
        shim, fixup = (modules[instances[n].module] for n in (shims[0], fixups[0]))  # type: ignore[union-attr]
        names = [str(number) for number in range(len(shim.functions))]
        filled = [item.name for item in fixup.imports[Kind.FUNCTION]]
        passes_on = all(_calls_element(shim, shim.exports[name][1], number) for number, name in enumerate(names))
        if not passes_on or filled != names or [e.functions for e in fixup.elements] != [tuple(range(len(names)))]:
            raise UnexpectedForm("a module that passes calls on in another way")
        arguments = instances[instances[fixups[0]].arguments[""]]  # type: ignore[union-attr]
        if not isinstance(arguments, Bundle) or fixup.elements[0].offset.number != 0:
            raise UnexpectedForm("a module that passes calls on in another way")
        behind = {name: item for name, (kind, item) in arguments.items.items() if kind is Kind.FUNCTION}
        return frozenset((shims[0], fixups[0])), behind


def _calls_element(module: CoreModule, index: int, number: int) -> bool:
    """Return whether a function passes its arguments to element `number` of the table, and does nothing else."""
    kind = module.functions[index]
    parameters = module.types[kind][1]
    begin, end = module.bodies[index]
    passed = b"".join(b"\x20" + encoding.unsigned(parameter) for parameter in range(parameters))
    called = b"\x41" + encoding.signed(number) + b"\x11" + encoding.unsigned(kind) + b"\0\x0b"
    return module.data[begin:end] == b"\0" + passed + called


class _Merger:
    """The merged module while it is made."""

    def __init__(self, component: Component) -> None:
        self._linker = _Linker(component)
        turn = component.lifted[TURN]
        if turn.realloc is None:
            raise UnexpectedForm("a turn that gives no room for its input")
        self._turn = self._linker.item(turn.function, Kind.FUNCTION)
        self._realloc = self._linker.item(turn.realloc, Kind.FUNCTION)
        self._table_content = [
            (
                self._value(instance, elements.offset),
                [self._linker.index(instance, Kind.FUNCTION, f) for f in elements.functions],
            )
            for instance in self._linker.instances()
            for elements in self._linker.module_of(instance).elements
            if elements.functions
        ]
        self._references: dict[Defined, list[Reference]] = {}
        self._types: dict[bytes, int] = {}
        self._host_types: dict[HostFunction, bytes] = {}
        self._written: set[Defined] = set()
        self._read: set[Defined] = set()
        self._reach()

    def _value(self, instance: int, constant: Constant) -> int:
        """Return the value of a constant in an instance, as a signed number of 32 bits."""
        value = constant.number
        for index in constant.globals:
            found = self._linker.index(instance, Kind.GLOBAL, index)
            assert isinstance(found, Defined)
            value += self._value(found.instance, self._global(found).start)
        return (value + (1 << 31)) % (1 << 32) - (1 << 31)

    def _global(self, found: Defined) -> Global:
        module = self._linker.module_of(found.instance)
        return module.globals[found.index - module.count(Kind.GLOBAL)]

    def _reach(self) -> None:
        """Find the functions that can be called, and what they refer to."""
        pending = [self._turn, self._realloc, *(f for _, functions in self._table_content for f in functions)]
        while pending:
            function = pending.pop()
            if isinstance(function, HostFunction) or function in self._references:
                continue
            module = self._linker.module_of(function.instance)
            begin, end = module.bodies[function.index - module.count(Kind.FUNCTION)]
            found = self._references[function] = list(instructions.references(module.data, begin, end))
            for _, _, code, index in found:
                if code == CALL:
                    called = self._linker.index(function.instance, Kind.FUNCTION, index)
                    pending.append(called)
                    if isinstance(called, HostFunction):
                        self._know_type(called, module, index)
                elif code in (GLOBAL_GET, GLOBAL_SET):
                    target = self._linker.index(function.instance, Kind.GLOBAL, index)
                    assert isinstance(target, Defined)
                    (self._read if code == GLOBAL_GET else self._written).add(target)

    def _know_type(self, called: HostFunction, module: CoreModule, index: int) -> None:
        type_index = module.imports[Kind.FUNCTION][index].type_index
        assert type_index is not None
        kind = module.types[type_index]
        if self._host_types.setdefault(called, kind) != kind:
            raise UnexpectedForm(f"{called} is imported with two types")

    def write(self) -> bytes:
        """Return the module as it is written."""
        memories, tables = self._defined(Kind.MEMORY), self._defined(Kind.TABLE)
        if len(memories) != 1 or len(tables) > 1:
            raise UnexpectedForm(f"{len(memories)} memories and {len(tables)} tables")
        owner = self._linker.module_of(memories[0].instance)
        contents = [n for n in self._linker.instances() if self._linker.module_of(n).memory_content is not None]
        if any(instance != memories[0].instance for instance in contents):
            raise UnexpectedForm("content of memory that is in another module than the memory")
        effects = [f for f in EFFECTS if f == EFFECT or f in self._host_types]
        host = sorted((f for f in self._host_types if f not in EFFECTS), key=lambda f: (f.interface, f.name))
        functions = sorted(self._references)
        globals_ = sorted(found for found in self._read | self._written if self._constant(found) is None)
        self._function_numbers: dict[Target, int] = {f: n for n, f in enumerate(host, len(effects))}
        first = len(effects) + len(host)
        self._function_numbers |= {f: first + n for n, f in enumerate(functions)}
        adapter = first + len(functions)
        self._function_numbers |= {f: adapter + n for n, f in enumerate(effects)}
        alloc, turn = adapter + len(effects), adapter + len(effects) + 1
        self._global_numbers = {found: number for number, found in enumerate(globals_)}
        self._check_types()
        imports = [_import("turnwise", EFFECTS[f].name, self._type(EFFECTS[f].type)) for f in effects]
        imports += [_import(f.interface, f.name, self._type(self._host_types[f])) for f in host]
        types = [self._type(self._type_of(f)) for f in functions]
        types += [self._type(EFFECTS[f].lowered_type) for f in effects]
        types += [self._type(kind) for kind in (ALLOC_TYPE, TURN_TYPE)]
        bodies = [self._body(f) for f in functions]
        bodies += [
            *[EFFECTS[f].body(number) for number, f in enumerate(effects)],
            _alloc_body(self._function_numbers[self._realloc]),
            _turn_body(self._function_numbers[self._turn]),
        ]
        exports = [
            ("memory", Kind.MEMORY, 0),
            ("turnwise_alloc", Kind.FUNCTION, alloc),
            ("turnwise_turn", Kind.FUNCTION, turn),
        ]
        begin, end = owner.memory_content or (0, 0)
        parts = [
            (Section.IMPORT, encoding.vector(imports)),
            (Section.FUNCTION, encoding.vector(map(encoding.unsigned, types))),
            (
                Section.TABLE,
                encoding.vector(part for t in tables for part in self._linker.module_of(t.instance).tables),
            ),
            (Section.MEMORY, encoding.vector(owner.memories)),
            (Section.GLOBAL, encoding.vector(self._global_bytes(found) for found in globals_)),
            (
                Section.EXPORT,
                encoding.vector(encoding.name(n) + bytes([k]) + encoding.unsigned(i) for n, k, i in exports),
            ),
            (Section.ELEMENT, encoding.vector(self._element_bytes(*content) for content in self._table_content)),
            (Section.CODE, encoding.vector(encoding.unsigned(len(body)) + body for body in bodies)),
            (Section.DATA, owner.data[begin:end] or encoding.vector([])),
        ]
        parts.insert(0, (Section.TYPE, encoding.vector(self._types)))  # all types are known now
        return HEADER + b"".join(encoding.section(number, content) for number, content in parts)

    def _defined(self, kind: Kind) -> list[Defined]:
        found = []
        for instance in self._linker.instances():
            module = self._linker.module_of(instance)
            defined = module.memories if kind is Kind.MEMORY else module.tables
            found += [Defined(instance, module.count(kind) + number) for number in range(len(defined))]
        return found

    def _check_types(self) -> None:
        for function, kind in ((self._turn, LIFTED_TURN_TYPE), (self._realloc, REALLOC_TYPE)):
            if isinstance(function, HostFunction) or self._type_of(function) != kind:
                raise UnexpectedForm("a turn, or what gives room for its input, of another type")
        for function, effect in EFFECTS.items():
            if self._host_types.get(function, effect.lowered_type) != effect.lowered_type:
                raise UnexpectedForm("an effect of another type")

    def _type_of(self, function: Defined) -> bytes:
        module = self._linker.module_of(function.instance)
        return module.types[module.functions[function.index - module.count(Kind.FUNCTION)]]

    def _type(self, kind: bytes) -> int:
        return self._types.setdefault(kind, len(self._types))

    def _constant(self, found: Defined) -> int | None:
        """Return the value of a global that nobody writes to, or None."""
        item = self._global(found)
        if found in self._written or item.value_type != I32:
            return None
        return self._value(found.instance, item.start)

    def _global_bytes(self, found: Defined) -> bytes:
        item = self._global(found)
        start = item.start.encoded
        if item.start.globals:
            start = bytes([I32_CONST]) + encoding.signed(self._value(found.instance, item.start)) + b"\x0b"
        return bytes([item.value_type, item.mutable]) + start

    def _element_bytes(self, offset: int, functions: list[Target]) -> bytes:
        numbers = (encoding.unsigned(self._function_numbers[function]) for function in functions)
        return b"\0\x41" + encoding.signed(offset) + b"\x0b" + encoding.vector(numbers)

    def _body(self, function: Defined) -> bytes:
        module = self._linker.module_of(function.instance)
        begin, end = module.bodies[function.index - module.count(Kind.FUNCTION)]

        def instruction(code: int, index: int) -> bytes:
            if code == CALL:
                target = self._linker.index(function.instance, Kind.FUNCTION, index)
                return b"\x10" + encoding.unsigned(self._function_numbers[target])
            if code == CALL_INDIRECT:
                return b"\x11" + encoding.unsigned(self._type(module.types[index]))
            if code in BLOCKS:
                return bytes([code]) + encoding.signed(self._type(module.types[index]))
            found = self._linker.index(function.instance, Kind.GLOBAL, index)
            assert isinstance(found, Defined)
            number = self._global_numbers.get(found)
            if number is not None:
                return bytes([code]) + encoding.unsigned(number)
            value = self._constant(found)
            assert value is not None
            return bytes([I32_CONST]) + encoding.signed(value)

        return instructions.rewrite(module.data, begin, end, self._references[function], instruction)


def _import(module: str, name: str, kind: int) -> bytes:
    return encoding.name(module) + encoding.name(name) + bytes([Kind.FUNCTION]) + encoding.unsigned(kind)


def _alloc_body(realloc: int) -> bytes:
    nothing = b"\x41\x00\x41\x00"
    return (
        b"\0" + nothing + b"\x41" + encoding.signed(ALIGNMENT) + b"\x20\x00\x10" + encoding.unsigned(realloc) + b"\x0b"
    )


def _turn_body(turn: int) -> bytes:
    """Return the body of `turnwise_turn`: pointer and length in one number, of the place where `turn` leaves both."""
    called = b"\x20\x00\x20\x01\x10" + encoding.unsigned(turn) + b"\x22\x02"
    return b"\x01\x01\x7f" + called + b"\x35\x02\x00\x42\x20\x86\x20\x02\x35\x02\x04\x84\x0b"
