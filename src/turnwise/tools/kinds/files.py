"""Kind `files`: one folder whose files can be listed, read and searched, and written where the world says so."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, cast

import msgspec

from turnwise.confine import KeptFiles, give_up_files
from turnwise.tools.kinds.folder import Entry, Folder, PathRefusal, WriteMode, path_parts
from turnwise.tools.kinds.settings import SettingsError, problems, read_settings, without_secrets
from turnwise.tools.server import ToolAnswers, ToolResult, ToolUnavailableError
from turnwise.tools.spec import ToolSpec

KIB: Final = 1024
THREADS_MAX: Final = 4
DEPTH_MAX: Final = 32
LINE_CHARS_MAX: Final = 300
"""Characters of a line that a search shows."""
TEXT_CHARS_MAX: Final = 1000
"""Characters of a text to search for."""


class FilesSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the kind.

    `folder`: the folder, relative to the world file. `write`: paths in it that may be written, with all below them;
    `"."` is the whole folder. `read_kib_max`: text that one reading returns. `file_kib_max`: largest file that is read,
    searched or written. `entries_max`: entries of one list. `matches_max`: matches of one search. `search_mib_max`:
    bytes that one search reads. The defaults fit into a reply of the default size (`reply_kib`).
    """

    folder: str
    write: tuple[str, ...] = ()
    read_kib_max: Annotated[int, msgspec.Meta(ge=1, le=16 * KIB)] = 128
    file_kib_max: Annotated[int, msgspec.Meta(ge=1, le=256 * KIB)] = 16 * KIB
    entries_max: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 500
    matches_max: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100
    search_mib_max: Annotated[int, msgspec.Meta(ge=1, le=4 * KIB)] = 64


def settings_of(settings: Mapping[str, Any]) -> FilesSettings:
    """Return the settings. Raises `SettingsError`."""
    found = read_settings(FilesSettings, settings)
    for path in found.write:
        try:
            path_parts(path)
        except PathRefusal as error:
            raise SettingsError("write", str(error), "Name files and folders below `folder`.") from None
    return found


def check(settings: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with settings: key, message, hint."""
    yield from problems(settings_of, settings)


def names(settings: Mapping[str, Any], folder: Path) -> Sequence[str] | None:  # noqa: ARG001
    """Return the names of its tools, as far as they are known without starting it."""
    found = _TOOLS if settings_of(without_secrets(settings)).write else _TOOLS[:-1]
    return [spec.name for spec in found]


def server(settings: Mapping[str, Any], folder: Path) -> FilesServer:
    """Make a server of the kind; `folder` is the world's. Raises `SettingsError`."""
    return FilesServer(settings_of(settings), folder)


@dataclass(slots=True)
class _Search:
    """State of a search."""

    text: str
    case: bool
    bytes_left: int
    matches: list[dict[str, Any]]
    skipped: int = 0
    """Files that are no text, too large, or cannot be read."""
    more: bool = False
    """True if a bound ended it."""


class FilesServer:
    """Server of one folder. Its process keeps access to this folder and to Python's own files, and to no others."""

    on_change: Callable[[], None]
    """Called by none: the list never becomes another."""

    def __init__(self, settings: FilesSettings, folder: Path, *, confined: bool = True) -> None:
        self._settings = settings
        self._confined = confined
        self._path = folder / settings.folder
        self._writable = tuple(path_parts(path) for path in settings.write)
        self._folder: Folder | None = None
        self._threads: ThreadPoolExecutor | None = None

    async def start(self) -> None:
        """Open the folder, and give up all others where the system can."""
        try:
            self._folder = Folder(self._path)
        except OSError as error:
            raise ToolUnavailableError(f"the folder {self._settings.folder!r}: {error.strerror or error}") from None
        if self._confined:
            give_up_files(_kept(self._path, write=bool(self._writable)))
        # Threads begin with what this one may do, so they are started after it was lessened.
        self._threads = ThreadPoolExecutor(THREADS_MAX, "turnwise-files")

    async def tools(self) -> Sequence[ToolSpec]:
        """List the tools; `write` is there if anything may be written."""
        return _TOOLS if self._writable else _TOOLS[:-1]

    async def call(self, name: str, args: Mapping[str, Any], answers: ToolAnswers | None = None) -> ToolResult:
        """Call a tool. A cancelled call stops reading; a file that is being written is written to its end."""
        if self._threads is None:
            raise ToolUnavailableError("the server has not been started")
        does: dict[str, Callable[[Mapping[str, Any], threading.Event], ToolResult]] = {
            "list": self._list,
            "read": self._read,
            "search": self._search,
            "write": self._write,
        }
        stop = threading.Event()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, _refusing(does[name]), args, stop)
        finally:
            stop.set()

    async def close(self) -> None:
        """Close the folder."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
        if self._folder is not None:
            self._folder.close()

    @property
    def _open(self) -> Folder:
        """The folder of a server that has been started."""
        assert self._folder is not None
        return self._folder

    def _list(self, args: Mapping[str, Any], stop: threading.Event) -> ToolResult:
        parts = path_parts(args.get("path", "."))
        found: list[dict[str, Any]] = []
        left_out = 0
        more = False
        for path, entry, missing in _walk(self._open, parts, int(args.get("depth", 1)), stop):
            left_out += missing
            if entry is None:
                continue
            if len(found) >= self._settings.entries_max:
                more = True
                break
            found.append({"path": path, "kind": entry.kind, "bytes": entry.size_bytes})
        lines = [_list_line(item) for item in found]
        lines += [f"… there are more; {len(found):,} are listed"] if more else []
        lines += [f"… {left_out:,} are left out: no path can have their names"] if left_out else []
        return ToolResult("\n".join(lines) or "nothing", {"entries": found, "more": more, "left_out": left_out})

    def _read(self, args: Mapping[str, Any], stop: threading.Event) -> ToolResult:
        parts = path_parts(args["path"])
        content = self._open.read(parts, self._settings.file_kib_max * KIB)
        text = _decoded(content)
        if text is None:
            raise PathRefusal(f"{'/'.join(parts)!r} is no text in UTF-8; it has {len(content):,} bytes")
        lines = text.split("\n")
        if lines[-1] == "":
            lines.pop()
        first = int(args.get("from_line", 1))
        wanted = lines[first - 1 :][: int(args.get("lines_max", len(lines)))]
        shown = _within(wanted, self._settings.read_kib_max * KIB)
        last = first - 1 + len(shown)
        if wanted and not shown:
            raise PathRefusal(f"line {first} of {'/'.join(parts)!r} is longer than {self._settings.read_kib_max:,} KiB")
        data = {"from_line": first, "to_line": last, "lines": len(lines), "more": last < len(lines)}
        return ToolResult("\n".join(shown), data)

    def _search(self, args: Mapping[str, Any], stop: threading.Event) -> ToolResult:
        case = args.get("case", False)
        text = args["text"] if case else args["text"].casefold()
        search = _Search(text, case, self._settings.search_mib_max * KIB * KIB, [])
        parts = path_parts(args.get("path", "."))
        if self._open.entry(parts).kind == "folder":
            for path, entry, _ in _walk(self._open, parts, DEPTH_MAX, stop):
                if search.more:
                    break
                if entry is not None and entry.kind == "file":
                    self._search_file(path, search)
        else:
            self._search_file("/".join(parts), search)
        lines = [f"{match['path']}:{match['line']}: {match['text']}" for match in search.matches]
        lines += ["… a bound ended the search; search in a part of the folder"] if search.more else []
        return ToolResult(
            "\n".join(lines) or "nothing", {"matches": search.matches, "more": search.more, "skipped": search.skipped}
        )

    def _search_file(self, path: str, search: _Search) -> None:
        try:
            content = self._open.read(path_parts(path), min(self._settings.file_kib_max * KIB, search.bytes_left))
        except PathRefusal:
            search.skipped += 1
            search.more = search.more or search.bytes_left < self._settings.file_kib_max * KIB
            return
        search.bytes_left -= len(content)
        text = _decoded(content)
        if text is None:
            search.skipped += 1
            return
        for number, line in enumerate(text.split("\n"), 1):
            if search.text not in (line if search.case else line.casefold()):
                continue
            if len(search.matches) >= self._settings.matches_max:
                search.more = True
                return
            search.matches.append({"path": path, "line": number, "text": line[:LINE_CHARS_MAX]})

    def _write(self, args: Mapping[str, Any], stop: threading.Event) -> ToolResult:
        parts = path_parts(args["path"])
        if not any(parts[: len(may)] == may for may in self._writable):
            where = ", ".join("/".join(may) or "." for may in self._writable)
            raise PathRefusal(f"{'/'.join(parts)!r} may not be written; what may is: {where}")
        try:
            content = args["text"].encode("utf-8")
        except UnicodeEncodeError:
            raise PathRefusal("the text has half of a character (a lone surrogate), which no file can hold") from None
        mode = cast("WriteMode", args.get("mode", "create"))
        size = self._open.write(parts, content, mode, self._settings.file_kib_max * KIB)
        return ToolResult(f"{'/'.join(parts)} has {size:,} bytes now", {"bytes": size})


def _kept(folder: Path, *, write: bool) -> KeptFiles:
    """Return the files that the process keeps: the folder, and Python's own, since modules are imported later."""
    own = {Path(entry) for entry in (*sys.path, sys.prefix, sys.base_prefix) if entry}
    return KeptFiles(read=tuple(sorted(own)), write=(folder,)) if write else KeptFiles(read=(*sorted(own), folder))


def _refusing(
    does: Callable[[Mapping[str, Any], threading.Event], ToolResult],
) -> Callable[[Mapping[str, Any], threading.Event], ToolResult]:
    """Make results of refusals."""

    def call(args: Mapping[str, Any], stop: threading.Event) -> ToolResult:
        try:
            return does(args, stop)
        except PathRefusal as error:
            return ToolResult(str(error), is_error=True)

    return call


def _walk(
    folder: Folder, parts: tuple[str, ...], depth: int, stop: threading.Event
) -> Iterator[tuple[str, Entry | None, int]]:
    """Yield what lies in a folder and below it, in order of path: path, entry, and how many names were left out there.

    A folder below that cannot be read, or has gone, has nothing in it.
    """
    entries, left_out = folder.entries(parts)
    yield "", None, left_out
    waiting = [iter([((*parts, entry.name), entry) for entry in entries])]
    while waiting:
        if stop.is_set():
            raise PathRefusal("the call was cancelled")
        found = next(waiting[-1], None)
        if found is None:
            waiting.pop()
            continue
        path, entry = found
        yield "/".join(path), entry, 0
        if entry.kind == "folder" and len(waiting) < depth:
            try:
                below, left_out = folder.entries(path)
            except PathRefusal:
                continue
            yield "", None, left_out
            waiting.append(iter([((*path, one.name), one) for one in below]))


def _list_line(item: Mapping[str, Any]) -> str:
    match item["kind"]:
        case "folder":
            return f"{item['path']}/"
        case "file":
            return f"{item['path']}  {item['bytes']:,} bytes"
    return f"{item['path']}  (a {item['kind']}; cannot be opened)"


def _decoded(content: bytes) -> str | None:
    """Return the text of a file, or None for what is no text."""
    if b"\0" in content:
        return None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _within(lines: Sequence[str], bytes_max: int) -> list[str]:
    """Return as many of the first lines as have at most `bytes_max` bytes together."""
    shown = []
    for line in lines:
        bytes_max -= len(line.encode()) + 1
        if bytes_max < -1:
            break
        shown.append(line)
    return shown


def _object(required: Sequence[str] = (), **properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


_PATH: Final = {"type": "string", "description": 'Path in the folder, with /; "." is the folder itself.'}
_COUNT: Final = {"type": "integer", "minimum": 0}
_FLAG: Final = {"type": "boolean"}
_NUMBER: Final = {"type": "integer", "minimum": 1}

_TOOLS: Final = (
    ToolSpec(
        "list",
        "List the files and folders in a folder, in order of path.",
        _object(
            path=_PATH,
            depth={
                "type": "integer",
                "minimum": 1,
                "maximum": DEPTH_MAX,
                "description": "Levels of folders to list: 1 (the default) is this folder alone.",
            },
        ),
        _object(
            ("entries", "more", "left_out"),
            entries={
                "type": "array",
                "items": _object(
                    ("path", "kind", "bytes"),
                    path={"type": "string"},
                    kind={"enum": ["file", "folder", "link", "other"]},
                    bytes=_COUNT,
                ),
            },
            more={**_FLAG, "description": "True if there are more entries than the list may have."},
            left_out={**_COUNT, "description": "Entries with names that no path can have."},
        ),
    ),
    ToolSpec(
        "read",
        "Read a text file, or some lines of it.",
        _object(
            ("path",),
            path=_PATH,
            from_line={**_NUMBER, "description": "First line, from 1 (the default)."},
            lines_max={**_NUMBER, "description": "How many lines at most; by default as many as fit."},
        ),
        _object(
            ("from_line", "to_line", "lines", "more"),
            from_line=_NUMBER,
            to_line=_COUNT,
            lines={**_COUNT, "description": "Lines of the whole file."},
            more={**_FLAG, "description": "True if lines follow after `to_line`."},
        ),
    ),
    ToolSpec(
        "search",
        "Find the lines of text files in which a text stands.",
        _object(
            ("text",),
            text={
                "type": "string",
                "minLength": 1,
                "maxLength": TEXT_CHARS_MAX,
                "pattern": "^[^\\n]*$",
                "description": "The text, as it stands there; it is no pattern.",
            },
            path={"type": "string", "description": "Folder or file to search in; by default the whole folder."},
            case={**_FLAG, "description": "True if upper and lower case are different; by default they are not."},
        ),
        _object(
            ("matches", "more", "skipped"),
            matches={
                "type": "array",
                "items": _object(
                    ("path", "line", "text"), path={"type": "string"}, line=_NUMBER, text={"type": "string"}
                ),
            },
            more={**_FLAG, "description": "True if a bound ended the search."},
            skipped={**_COUNT, "description": "Files that are no text, too large, or cannot be read."},
        ),
    ),
    ToolSpec(
        "write",
        "Write a text file; folders on the way to it are made.",
        _object(
            ("path", "text"),
            path=_PATH,
            text={"type": "string"},
            mode={
                "enum": ["create", "replace", "append"],
                "description": '"create" (the default) refuses a file that is there.',
            },
        ),
        _object(("bytes",), bytes={**_COUNT, "description": "Size of the file now."}),
    ),
)
