"""The interpreter of a language, as it lies in the wheel: a module, and a description of it.

It is named by its hash in every journal, so it is never built at run time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from turnwise.errors import EnvironmentFailure

MODULE = "interpreter.wasm"
DESCRIPTION = "interpreter.json"


@dataclass(frozen=True, slots=True)
class InterpreterInfo:
    """Facts about an interpreter."""

    sha256: str
    """SHA-256 (hex) of the module."""
    bytes: int
    """Size of the module."""
    engine: str
    """Version of the language's engine in it: CPython, or QuickJS-NG."""
    builder: str
    """Version of the tool that built it: componentize-py, or Zig."""
    sdk: str
    """Version of the SDK in it."""
    modules: tuple[str, ...]
    """Standard modules that agents can import; none where the language has none."""


@dataclass(frozen=True, slots=True)
class InterpreterFiles:
    """The files of an interpreter in a folder.

    - `folder`: holds module and description
    - `language`: for people
    - `engine`, `builder`: members of the description that have these versions
    - `build`: script of a source tree that builds it
    """

    folder: Path
    language: str
    engine: str
    builder: str
    build: str

    def module(self) -> Path:
        """Return the path of the module. Raises `EnvironmentFailure` where it has not been built."""
        return self._file(MODULE)

    def info(self) -> InterpreterInfo:
        """Read the description. Raises `EnvironmentFailure` where it is missing, or damaged."""
        path = self._file(DESCRIPTION)
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            return InterpreterInfo(
                sha256=facts["sha256"],
                bytes=facts["bytes"],
                engine=facts[self.engine],
                builder=facts[self.builder],
                sdk=facts["sdk"],
                modules=tuple(facts.get("modules", ())),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._failure(f"{path} is damaged: {error!r}") from None

    def _file(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file():
            raise self._failure(f"{name} is missing, so {self.language} agents cannot run")
        return path

    def _failure(self, what: str) -> EnvironmentFailure:
        hint = f"It comes with the wheel. In a source tree, build it: pip install -e . (or: python {self.build})"
        return EnvironmentFailure(what, where=str(self.folder), hint=hint)
