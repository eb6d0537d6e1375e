"""A core module, parsed as far as linking needs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from interpreter_build.encoding import Reader, UnexpectedForm, sections

HEADER = b"\0asm\x01\0\0\0"
I32_CONST, I32_ADD, GLOBAL_GET, END = 0x41, 0x6A, 0x23, 0x0B
FUNCTION_TYPE = 0x60


class Kind(IntEnum):
    """Kinds of what modules import, define and export, by their numbers in the format."""

    FUNCTION = 0
    TABLE = 1
    MEMORY = 2
    GLOBAL = 3


class Section(IntEnum):
    """Sections of a core module, by their numbers in the format."""

    CUSTOM = 0
    TYPE = 1
    IMPORT = 2
    FUNCTION = 3
    TABLE = 4
    MEMORY = 5
    GLOBAL = 6
    EXPORT = 7
    START = 8
    ELEMENT = 9
    CODE = 10
    DATA = 11
    DATA_COUNT = 12


@dataclass(frozen=True, slots=True)
class Import:
    """An import of a module."""

    module: str
    name: str
    kind: Kind
    type_index: int | None
    """Index of a function's type; None for others."""


@dataclass(frozen=True, slots=True)
class Constant:
    """Value that a global or an offset begins with: a sum."""

    number: int
    """Sum of the numbers in it."""
    globals: tuple[int, ...] = ()
    """Indices of the globals whose values are added."""
    encoded: bytes = b""
    """The expression as it is written."""


@dataclass(frozen=True, slots=True)
class Global:
    """A global that a module defines."""

    value_type: int
    """Type of its value, by the format's number."""
    mutable: bool
    """True if it may be written to."""
    start: Constant
    """Value at the start."""


@dataclass(frozen=True, slots=True)
class Elements:
    """Functions that a module puts into a table."""

    offset: Constant
    """Place of the first."""
    functions: tuple[int, ...]
    """Indices of the functions."""


@dataclass(slots=True)
class CoreModule:
    """A core module. Indices of functions, tables, memories and globals count the imports first."""

    types: list[bytes] = field(default_factory=list)
    """Types of functions, each as it is written."""
    imports: dict[Kind, list[Import]] = field(default_factory=lambda: {kind: [] for kind in Kind})
    """Imports of each kind, in order."""
    functions: list[int] = field(default_factory=list)
    """Type of each function that is defined here."""
    tables: list[bytes] = field(default_factory=list)
    """Tables that are defined here, as they are written."""
    memories: list[bytes] = field(default_factory=list)
    """Memories that are defined here, as they are written."""
    globals: list[Global] = field(default_factory=list)
    """Globals that are defined here."""
    exports: dict[str, tuple[Kind, int]] = field(default_factory=dict)
    """Exports: kind and index by name."""
    elements: list[Elements] = field(default_factory=list)
    """What is put into tables at the start."""
    bodies: list[tuple[int, int]] = field(default_factory=list)
    """Begin and end of each body of a function that is defined here, in `data`."""
    memory_content: tuple[int, int] | None = None
    """Begin and end of the section of data, in `data`; None if there is none."""
    data: bytes = b""
    """The binary that positions are in."""

    def count(self, kind: Kind) -> int:
        """Return how many imports of `kind` come before what is defined."""
        return len(self.imports[kind])


def parse(data: bytes, begin: int, end: int) -> CoreModule:
    """Parse the core module that lies in `data` from `begin` to `end`. Raises `UnexpectedForm`."""
    if data[begin : begin + 8] != HEADER:
        raise UnexpectedForm("a core module with another header")
    module = CoreModule(data=data)
    for number, start, stop in sections(data, begin + 8, end):
        reader = Reader(data, start)
        match number:
            case Section.TYPE:
                module.types += [_function_type(reader) for _ in reader.counted()]
            case Section.IMPORT:
                for _ in reader.counted():
                    item = _import(reader)
                    module.imports[item.kind].append(item)
            case Section.FUNCTION:
                module.functions += [reader.unsigned() for _ in reader.counted()]
            case Section.TABLE:
                module.tables += [_table(reader) for _ in reader.counted()]
            case Section.MEMORY:
                module.memories += [_limits(reader) for _ in reader.counted()]
            case Section.GLOBAL:
                module.globals += [_global(reader) for _ in reader.counted()]
            case Section.EXPORT:
                for _ in reader.counted():
                    name = reader.name()
                    module.exports[name] = Kind(reader.byte()), reader.unsigned()
            case Section.ELEMENT:
                module.elements += [_elements(reader) for _ in reader.counted()]
            case Section.CODE:
                for _ in reader.counted():
                    size = reader.unsigned()
                    module.bodies.append((reader.position, reader.position + size))
                    reader.position += size
            case Section.DATA:
                module.memory_content = (start, stop)
            case Section.CUSTOM | Section.DATA_COUNT:
                continue
            case _:
                raise UnexpectedForm(f"a core module with a section {number}")
        if number != Section.DATA and reader.position != stop:
            raise UnexpectedForm(f"a section {number} that ends elsewhere")
    return module


def _function_type(reader: Reader) -> bytes:
    start = reader.position
    if reader.byte() != FUNCTION_TYPE:
        raise UnexpectedForm("a type that is no function's")
    for _ in range(2):
        reader.take(reader.unsigned())
    return reader.since(start)


def _import(reader: Reader) -> Import:
    module, name, kind = reader.name(), reader.name(), Kind(reader.byte())
    type_index = None
    match kind:
        case Kind.FUNCTION:
            type_index = reader.unsigned()
        case Kind.TABLE:
            _table(reader)
        case Kind.MEMORY:
            _limits(reader)
        case Kind.GLOBAL:
            reader.take(2)
    return Import(module, name, kind, type_index)


def _table(reader: Reader) -> bytes:
    start = reader.position
    reader.byte()
    _limits(reader)
    return reader.since(start)


def _limits(reader: Reader) -> bytes:
    start = reader.position
    flags = reader.byte()
    if flags > 1:
        raise UnexpectedForm("a memory or table that is shared or of 64 bits")
    for _ in range(1 + flags):
        reader.unsigned()
    return reader.since(start)


def _global(reader: Reader) -> Global:
    return Global(reader.byte(), bool(reader.byte()), _constant(reader))


def _constant(reader: Reader) -> Constant:
    start = reader.position
    number = 0
    summed: list[int] = []
    terms = 0
    while (code := reader.byte()) != END:
        if code == I32_CONST:
            number += reader.signed()
        elif code == GLOBAL_GET:
            summed.append(reader.unsigned())
        elif code != I32_ADD:
            raise UnexpectedForm(f"a constant with an instruction {code:#x}")
        terms += -1 if code == I32_ADD else 1
    if terms != 1:
        raise UnexpectedForm("a constant that is no sum")
    return Constant(number, tuple(summed), reader.since(start))


def _elements(reader: Reader) -> Elements:
    form = reader.unsigned()
    if form not in (0, 2) or (form == 2 and reader.unsigned() != 0):
        raise UnexpectedForm("elements that are not functions put into the first table at the start")
    offset = _constant(reader)
    if form == 2 and reader.byte() != 0:
        raise UnexpectedForm("elements that are no functions")
    return Elements(offset, tuple(reader.unsigned() for _ in reader.counted()))
