"""Importing: local modules from the program, and clear words about modules that are not there."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from turnwise_guest.runtime.modules import ADVERTISED
from turnwise_guest.runtime.program import Program


class ProgramImporter(MetaPathFinder, Loader):
    """Finder and loader of the local modules of one program. Lives in `sys.meta_path` while it is installed."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        found = self.program.modules.get(name)
        if found is None:
            if not self._is_folder(name):
                return None
            spec = ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = []
            return spec
        file, is_package, _ = found
        spec = ModuleSpec(name, self, origin=file, is_package=is_package)
        spec.has_location = True
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(self.program.code(module.__name__), module.__dict__)

    def get_source(self, name: str) -> str | None:
        """What `linecache` asks for when it wants a line of a traceback."""
        return self.program.source(self.program.modules[name][0])

    def _is_folder(self, name: str) -> bool:
        """A folder without ``__init__.py`` is a package all the same."""
        prefix = name + "."
        return any(module.startswith(prefix) for module in self.program.modules)


class NothingElse(MetaPathFinder):
    """The last finder: says why a module cannot be imported and what can be."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        importing_parent = name.rpartition(".")[0]
        if importing_parent and importing_parent not in ADVERTISED and importing_parent in sys.modules:
            what = f"{name!r} is neither among the agent's files"
        else:
            what = f"{name!r} is neither a file beside the agent's"
        raise ModuleNotFoundError(
            f"{what} nor a standard module that the sandbox has. It has: {', '.join(ADVERTISED)}", name=name
        )
