"""The files that one kind of agent executes, read once, so that what is hashed is what runs."""

from __future__ import annotations

import os
import re
import textwrap
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from turnwise.world.files import Refused, decode, locate, read_bytes
from turnwise.world.limits import PYTHON_SOURCE_BYTES_MAX, PYTHON_SOURCE_FILES_MAX, WASM_SOURCE_BYTES_MAX
from turnwise.world.meaning.imports import local_modules
from turnwise.world.meaning.script_imports import imported_files
from turnwise.world.meaning.source_archive import ARCHIVE_BYTES_MAX, SUFFIX, read_archive
from turnwise.world.problems import quoted
from turnwise.world.written.types import SourceText

Language = Literal["python", "javascript", "wasm", "wat"]

_LANGUAGES: Final[dict[str, Language]] = {
    ".py": "python",
    ".js": "javascript",
    ".mjs": "javascript",
    ".wasm": "wasm",
    ".wat": "wat",
}
JAVASCRIPT_ENDINGS: Final = (".js", ".mjs")
_EXPORT: Final = re.compile(r"^[ \t]*export[ \t]+(?:async|class|const|default|function|let|var|\{)", re.MULTILINE)
"""A line with which no statement of Python begins, and without which no module of JavaScript is an agent."""
_WASM_MAGIC: Final = b"\0asm"


@dataclass(frozen=True, slots=True)
class SourceFiles:
    """The source of a kind. Texts of scripts are UTF-8 without a byte order mark, and lines end in a line feed."""

    language: Language
    """Language in which it is written."""
    entry: str
    """Name of the file that is executed."""
    files: tuple[tuple[str, bytes], ...]
    """(Name relative to the entry's folder, with `/`; content), in order of name."""
    path: Path | None = field(default=None, compare=False)
    """Path of the entry, for debuggers; None if the source was given in Python. It is not compared."""


def from_text(text: SourceText, kind: str, folder: Path | None, root: Path | None) -> SourceFiles:
    """Source given as text: WAT if it begins like a module, JavaScript if a line begins with `export`, else Python.

    Its local modules lie in `folder`, if there is one.

    The file is named after the kind, as the world's author would.
    """
    if text.is_wat:
        return SourceFiles("wat", f"{kind}.wat", ((f"{kind}.wat", _bounded(text.encode())),))
    if _EXPORT.search(text):
        return _scripts("javascript", textwrap.dedent(text), f"{kind}.js", folder, root, None)
    stem = re.sub(r"[.-]", "_", kind)
    return _scripts("python", textwrap.dedent(text), f"{stem}.py", folder, root, None)


def from_bytes(data: bytes, kind: str) -> SourceFiles:
    """Return a WebAssembly binary given as bytes."""
    if not data.startswith(_WASM_MAGIC):
        raise Refused(
            "these bytes are not WebAssembly",
            "Give a .wasm file's content as bytes, or source of a script as text.",
        )
    return SourceFiles("wasm", f"{kind}.wasm", ((f"{kind}.wasm", _bounded(data)),))


def _bounded(data: bytes) -> bytes:
    if len(data) > WASM_SOURCE_BYTES_MAX:
        raise Refused("the source is too large", f"At most {WASM_SOURCE_BYTES_MAX} bytes are allowed.")
    return data


def from_file(name: str | os.PathLike[str], base: Path, root: Path | None) -> SourceFiles:
    """Return a source file named relative to `base`; with `root`, it and all that it imports lie inside."""
    if Path(name).suffix == SUFFIX:
        return _from_archive(locate(name, base, root))
    language = _LANGUAGES.get(Path(name).suffix)
    if language is None:
        raise Refused(
            f"{quoted(os.fspath(name))} is no source", "A source is a .py, .js, .mjs, .agent, .wasm or .wat file."
        )
    path = locate(name, base, root)
    entry = Path(name).name
    if language in ("python", "javascript"):
        text = decode(read_bytes(path, PYTHON_SOURCE_BYTES_MAX), entry)
        return _scripts(language, text, entry, (base / name).parent, root, path)
    data = read_bytes(path, WASM_SOURCE_BYTES_MAX)
    if language == "wat":
        data = decode(data, entry).encode()
    return SourceFiles(language, entry, ((entry, data),), path)


def _from_archive(path: Path) -> SourceFiles:
    """Return a Python agent that comes with its packages as one file."""
    entry, files = read_archive(read_bytes(path, ARCHIVE_BYTES_MAX), path.name)
    lines = {name: _lines(content.decode()).encode() for name, content in files.items()}
    return SourceFiles("python", entry, tuple(sorted(lines.items())), None)


class _Modules:
    """The Python or JavaScript files of one kind, within their bounds."""

    def __init__(self, language: Language, entry: str) -> None:
        self.entry = entry
        self._imported = imported_files if language == "javascript" else local_modules
        self.texts: dict[str, str] = {}
        self._bytes = 0

    def add(self, name: str, text: str) -> None:
        """Raise Refused if it is too much."""
        self.texts[name] = _lines(text)
        self._bytes += len(self.texts[name].encode())
        if len(self.texts) > PYTHON_SOURCE_FILES_MAX:
            raise Refused(
                f"{quoted(self.entry)} comes with more than {PYTHON_SOURCE_FILES_MAX} local modules",
                "Import fewer.",
            )
        if self._bytes > PYTHON_SOURCE_BYTES_MAX:
            raise Refused(
                f"{quoted(self.entry)} and its local modules are too large",
                f"At most {PYTHON_SOURCE_BYTES_MAX} bytes of source are allowed for one kind.",
            )

    def follow_imports(self, folder: Path, root: Path | None) -> None:
        """Add every local module that the entry imports, also through others."""
        waiting = deque([self.entry])
        while waiting:
            name = waiting.popleft()
            for module in self._imported(self.texts[name], name, folder):
                if module not in self.texts:
                    data = read_bytes(locate(module, folder, root), PYTHON_SOURCE_BYTES_MAX)
                    self.add(module, decode(data, module))
                    waiting.append(module)

    def files(self) -> tuple[tuple[str, bytes], ...]:
        return tuple((name, self.texts[name].encode()) for name in sorted(self.texts))


def _scripts(
    language: Language, text: str, entry: str, folder: Path | None, root: Path | None, path: Path | None
) -> SourceFiles:
    modules = _Modules(language, entry)
    modules.add(entry, text)
    if folder is not None:
        modules.follow_imports(folder, root)
    return SourceFiles(language, entry, modules.files(), path)


def _lines(text: str) -> str:
    """Line ends as Python and JavaScript read them, so that a checkout on another system has the same hash."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
