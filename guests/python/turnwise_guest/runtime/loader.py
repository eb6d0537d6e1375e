"""Importing: local modules from the program, and clear words about modules that are not there."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from turnwise_guest.runtime.distributions import distributions
from turnwise_guest.runtime.modules import ADVERTISED
from turnwise_guest.runtime.program import Program


def load(importer: ProgramImporter, name: str) -> ModuleType:
    """Execute the program's module `name` and return it.

    For the entry, which every turn needs: going through the import system would take longer than all the rest.
    """
    program = importer.program
    file, is_package, _ = program.modules[name]
    module = ModuleType(name)
    module.__file__ = file
    module.__loader__ = importer
    module.__package__ = name if is_package else name.rpartition(".")[0]
    if is_package:
        module.__path__ = []
    sys.modules[name] = module
    exec(program.code(name), module.__dict__)
    return module


class ProgramImporter(MetaPathFinder, Loader):
    """Finder and loader of the local modules of one program. Lives in `sys.meta_path`."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        found = self.program.modules.get(fullname)
        if found is None:
            if not self._is_folder(fullname):
                return None
            spec = ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = []
            return spec
        file, is_package, _ = found
        spec = ModuleSpec(fullname, self, origin=file, is_package=is_package)
        spec.has_location = True
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(self.program.code(module.__name__), module.__dict__)

    def get_source(self, fullname: str) -> str | None:
        """Return a module's text, for `inspect.getsource` and `linecache`; None for a folder."""
        found = self.program.modules.get(fullname)
        return None if found is None else self.program.source(found[0])

    def find_distributions(self, context: Any = None) -> Iterable[Any]:
        """Return the packages that came with the program, for `importlib.metadata`, which looks for this method."""
        return distributions(self.program.texts(), None if context is None else context.name)

    def _is_folder(self, name: str) -> bool:
        """A folder without ``__init__.py`` is a package all the same."""
        prefix = name + "."
        return any(module.startswith(prefix) for module in self.program.modules)


class NothingElse(MetaPathFinder):
    """The last finder: says why a module cannot be imported and what can be."""

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        raise ModuleNotFoundError(
            f"{fullname!r} is neither a file beside the agent's nor a standard module that the sandbox has. "
            f"It has: {', '.join(ADVERTISED)}",
            name=fullname,
        )
