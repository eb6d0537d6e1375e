"""A program: an agent's source files, compiled once and carried into each turn as text.

`prepare` compiles; `Program.from_text` reads what it made. Only the interpreter that wrote a program can read it, since
compiled code has no format that lasts, so whoever keeps one keys it by the interpreter's hash.
"""

from __future__ import annotations

import marshal
import sys
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Mapping
from dataclasses import dataclass
from types import CodeType
from typing import Any

RESERVED = frozenset(sys.stdlib_module_names) | {"turnwise_guest", "turnwise_interpreter"}
"""Top-level names that local modules cannot have: the interpreter has its own modules of these names already."""


class CannotPrepare(Exception):
    """Source that cannot become a program. `line` counts from 1."""

    def __init__(self, file: str, line: int, message: str) -> None:
        super().__init__(f"{file}:{line}: {message}")
        self.file = file
        self.line = line
        self.message = message


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled program.

    `modules` maps a module's dotted name to its file, whether it is a package, and its marshalled code. `sources`
    is the marshalled dict of the files' texts, for tracebacks.
    """

    entry: str
    modules: Mapping[str, tuple[str, bool, bytes]]
    sources: bytes

    @classmethod
    def from_text(cls, text: str) -> Program:
        return cls(*marshal.loads(a2b_base64(text)))

    def to_text(self) -> str:
        return b64encode(marshal.dumps((self.entry, dict(self.modules), self.sources))).decode()

    def code(self, module: str) -> CodeType:
        code: CodeType = marshal.loads(self.modules[module][2])
        return code

    def source(self, file: str) -> str | None:
        return self.texts().get(file)

    def texts(self) -> dict[str, str]:
        """Return the texts of all files, those that are no modules too."""
        texts: dict[str, str] = marshal.loads(self.sources)
        return texts


def prepare(entry: str, files: Mapping[str, str]) -> Program:
    """Compile `files` (relative path with ``/`` to text); `entry` is a module's name or a file's path among them.

    Raises `CannotPrepare` for the first file, in order of path, that does not compile, or whose name is in the way.
    """
    modules: dict[str, tuple[str, bool, bytes]] = {}
    for file in sorted(files):
        if not file.endswith(".py"):
            continue  # what packages say of themselves
        name, is_package = module_name(file)
        top = name.partition(".")[0]
        if top in RESERVED:
            raise CannotPrepare(file, 1, f"the name {top!r} belongs to a standard module: rename {_outermost(file)}")
        if name in modules:
            raise CannotPrepare(file, 1, f"this is the module {name!r}, and so is {modules[name][0]}: rename one")
        modules[name] = (file, is_package, marshal.dumps(_compile(file, files[file])))
    name = module_name(entry)[0] if entry.endswith(".py") else entry
    if name not in modules:
        raise CannotPrepare(entry, 1, f"there is no such file among {', '.join(sorted(files)) or 'no files'}")
    return Program(name, modules, marshal.dumps({file: files[file] for file in sorted(files)}))


def module_name(file: str) -> tuple[str, bool]:
    """Return the module that a file is, and whether it is a package: ``lib/__init__.py`` is ``("lib", True)``."""
    parts = file.removesuffix(".py").split("/")
    if parts[-1] == "__init__" and len(parts) > 1:
        return ".".join(parts[:-1]), True
    return ".".join(parts), False


def _outermost(file: str) -> str:
    first, slash, _ = file.partition("/")
    return f"the folder {first}" if slash else first


def _compile(file: str, source: str) -> CodeType:
    try:
        code: CodeType = compile(source, file, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise CannotPrepare(file, error.lineno or 1, _syntax_message(error)) from None
    except (ValueError, UnicodeEncodeError) as error:
        raise CannotPrepare(file, 1, str(error)) from None
    except (RecursionError, MemoryError, OverflowError) as error:
        raise CannotPrepare(file, 1, f"the source is too large or too deeply nested ({type(error).__name__})") from None
    return code


def _syntax_message(error: SyntaxError) -> str:
    if not error.text or not error.text.strip():
        return error.msg
    return f"{error.msg}: {error.text.strip()[:200]}"


def prepare_reply(request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the envelope's `prepare` member: ``{"program": …}`` or ``{"error": {"file", "line", "message"}}``."""
    try:
        return {"program": prepare(request["entry"], request["files"]).to_text()}
    except CannotPrepare as error:
        return {"error": {"file": error.file, "line": error.line, "message": error.message}}
