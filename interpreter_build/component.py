"""The core side of a component: its modules, how they are instantiated, and what is lifted and lowered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from interpreter_build.core_module import CoreModule, Kind, parse
from interpreter_build.encoding import Reader, UnexpectedForm, sections

HEADER = b"\0asm\x0d\0\x01\0"

# Sections of a component.
CORE_MODULE, CORE_INSTANCE, INSTANCE, ALIAS, TYPE, CANON, IMPORT, EXPORT = 1, 2, 5, 6, 7, 8, 10, 11
# Sorts; the core ones are those of `Kind`, and these.
CORE_SORT, FUNC_SORT, TYPE_SORT, INSTANCE_SORT = 0, 1, 3, 5
OF_INSTANCE, OF_CORE_INSTANCE, OF_OUTER = 0, 1, 2
LIFT, LOWER, RESOURCE_DROP = 0, 1, 3
MEMORY, REALLOC, POST_RETURN = 3, 4, 5


@dataclass(frozen=True, slots=True)
class Exported:
    """Core item that an instance exports."""

    instance: int
    """Index of the core instance."""
    name: str
    """Name of its export."""


@dataclass(frozen=True, slots=True)
class HostFunction:
    """Core function that the host gives: a lowered import, or the end of a resource."""

    interface: str
    """Interface that is imported; empty for a function that is imported itself."""
    name: str
    """Name of the function, as core modules write it."""


CoreItem = Exported | HostFunction


@dataclass(frozen=True, slots=True)
class Instantiated:
    """Core instance of a module."""

    module: int
    """Index of the module."""
    arguments: dict[str, int]
    """Instance by the name that the module imports from."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """Core instance that is only names of other instances' items."""

    items: dict[str, tuple[Kind, CoreItem]]
    """Items by name."""


@dataclass(frozen=True, slots=True)
class Lifted:
    """Function that the component makes of a core function."""

    function: CoreItem
    """The core function."""
    realloc: CoreItem | None
    """Function that gives room for arguments."""


@dataclass(slots=True)
class Component:
    """A component, as far as linking its core modules needs it."""

    modules: list[CoreModule] = field(default_factory=list)
    """Core modules."""
    instances: list[Instantiated | Bundle] = field(default_factory=list)
    """Core instances."""
    lifted: dict[str, Lifted] = field(default_factory=dict)
    """Exported functions by name."""
    core: dict[Kind, list[CoreItem]] = field(default_factory=lambda: {kind: [] for kind in Kind})
    """Core items by kind, as they are numbered."""


def parse_component(data: bytes) -> Component:
    """Parse a component. Raises `UnexpectedForm`."""
    if data[:8] != HEADER:
        raise UnexpectedForm("no component")
    return _Parser(data).parse()


class _Parser:
    """Index spaces of a component while its sections are read."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._found = Component()
        self._instances: list[str] = []  # names of imported instances; empty for others
        self._functions: list[HostFunction | Lifted] = []
        self._types: list[tuple[str, str]] = []  # interface and name, of those that are exported by an instance

    def parse(self) -> Component:
        data = self._data
        for number, begin, end in sections(data, 8, len(data)):
            reader = Reader(data, begin)
            if number == CORE_MODULE:
                self._found.modules.append(parse(data, begin, end))
            elif number == CORE_INSTANCE:
                self._found.instances += [self._core_instance(reader) for _ in reader.counted()]
            elif number == INSTANCE:
                self._instances += ["" for _ in reader.counted()]
                continue
            elif number == TYPE:
                self._types += [("", "") for _ in reader.counted()]
                continue
            else:
                read = {ALIAS: self._alias, CANON: self._canon, IMPORT: self._import, EXPORT: self._export}.get(number)
                if read is None:
                    continue  # a component within, of types only; custom sections
                for _ in reader.counted():
                    read(reader)
            if number != CORE_MODULE and reader.position != end:
                raise UnexpectedForm(f"a section {number} of a component that ends elsewhere")
        return self._found

    def _core_instance(self, reader: Reader) -> Instantiated | Bundle:
        if reader.byte() == 0:
            module = reader.unsigned()
            return Instantiated(module, dict(self._arguments(reader)))
        items: dict[str, tuple[Kind, CoreItem]] = {}
        for _ in reader.counted():
            name, kind = reader.name(), Kind(reader.byte())
            items[name] = kind, self._found.core[kind][reader.unsigned()]
        return Bundle(items)

    def _arguments(self, reader: Reader) -> Iterator[tuple[str, int]]:
        for _ in reader.counted():
            name = reader.name()
            if reader.byte() != 0x12:
                raise UnexpectedForm("an argument of a core instance that is no instance")
            yield name, reader.unsigned()

    def _alias(self, reader: Reader) -> None:
        sort = reader.byte()
        kind = reader.byte() if sort == CORE_SORT else None
        target = reader.byte()
        if target == OF_OUTER:
            reader.unsigned(), reader.unsigned()
            if sort == TYPE_SORT:
                self._types.append(("", ""))
            return
        instance, name = reader.unsigned(), reader.name()
        if target == OF_CORE_INSTANCE and kind is not None:
            self._found.core[Kind(kind)].append(Exported(instance, name))
        elif sort == FUNC_SORT:
            self._functions.append(HostFunction(self._instances[instance], name))
        elif sort == TYPE_SORT:
            self._types.append((self._instances[instance], name))
        elif sort == INSTANCE_SORT:
            self._instances.append("")
        else:
            raise UnexpectedForm(f"an alias of sort {sort}")

    def _import(self, reader: Reader) -> None:
        reader.byte()
        name, sort = reader.name(), reader.byte()
        reader.unsigned()
        if sort == FUNC_SORT:
            self._functions.append(HostFunction("", name))
        elif sort == INSTANCE_SORT:
            self._instances.append(name)
        else:
            raise UnexpectedForm(f"an import of sort {sort}")

    def _export(self, reader: Reader) -> None:
        reader.byte()
        name, sort, index = reader.name(), reader.byte(), reader.unsigned()
        if reader.byte() != 0:
            raise UnexpectedForm("an export with a type of its own")
        if sort == FUNC_SORT:
            function = self._functions[index]
            if isinstance(function, Lifted):
                self._found.lifted[name] = function
            self._functions.append(function)
        elif sort == INSTANCE_SORT:
            self._instances.append("")
        else:
            raise UnexpectedForm(f"an export of sort {sort}")

    def _canon(self, reader: Reader) -> None:
        functions = self._found.core[Kind.FUNCTION]
        operation = reader.byte()
        if operation == LIFT:
            reader.byte()
            function = functions[reader.unsigned()]
            options = dict(_options(reader))
            reader.unsigned()
            realloc = functions[options[REALLOC]] if REALLOC in options else None
            self._functions.append(Lifted(function, realloc))
        elif operation == LOWER:
            reader.byte()
            lowered = self._functions[reader.unsigned()]
            list(_options(reader))
            if not isinstance(lowered, HostFunction):
                raise UnexpectedForm("a function of the component's own that is lowered")
            functions.append(lowered)
        elif operation == RESOURCE_DROP:
            interface, name = self._types[reader.unsigned()]
            functions.append(HostFunction(interface, f"[resource-drop]{name}"))
        else:
            raise UnexpectedForm(f"a canonical function {operation}")


def _options(reader: Reader) -> Iterator[tuple[int, int]]:
    for _ in reader.counted():
        option = reader.byte()
        if option > POST_RETURN:
            raise UnexpectedForm(f"an option {option} of a canonical function")
        yield option, reader.unsigned() if option >= MEMORY else 0
