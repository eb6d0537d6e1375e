"""A document: the tables, lists and values of a world before anything is known about them.

A world file and a World built in Python become the same kind of document, so that both are checked by the same code.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from turnwise.world.files import Refused, decode, is_file, is_folder, read_bytes
from turnwise.world.limits import WORLD_FILE_BYTES_MAX
from turnwise.world.problems import Problems
from turnwise.world.written.toml import LongKeyError, parse_toml
from turnwise.world.written.types import Description, SourceText

FILE_NAME: Final = "world.toml"
SETTINGS: Final = (
    "name",
    "seed",
    "schedule",
    "rounds_max",
    "agents_max",
    "contents_mib",
    "on_failure",
    "time_start",
    "round_seconds",
    "turn_seconds_max",
    "network",
    "park_after_ms",
)
"""The keys of the table `[world]`."""

Document = dict[str, Any]


def world_file(path: Path) -> Path:
    """Return the world file that a path means: itself, or the world.toml of a folder."""
    return path / FILE_NAME if is_folder(path) else path


def load(file: Path, problems: Problems) -> Document | None:
    """Return the document of a world file, or None after what is wrong with the file has been reported."""
    if not is_file(file):
        hint = f"Name a world file or a folder with a {FILE_NAME} in it, or make a new world: turnwise new NAME."
        problems.add((), "there is no such world file", hint)
        return None
    try:
        text = decode(read_bytes(file, WORLD_FILE_BYTES_MAX), file.name)
    except Refused as error:
        problems.add((), error.message, error.hint)
        return None
    try:
        return parse_toml(text)
    except tomllib.TOMLDecodeError as error:
        problems.add((), f"is not TOML: {_located(str(error), text)}", "Correct the line: see https://toml.io.")
    except LongKeyError as error:
        hint = "Write it as tables: a line [a.b], then the last part of the key."
        problems.add((), f"has {error} in line {error.line}", hint)
    except RecursionError:
        problems.add((), "is nested too deeply", "Make its tables and lists flatter.")
    except ValueError as error:  # a whole number of thousands of digits
        problems.add((), f"holds a value that cannot be read: {error}", "Write it as a text in quotes.")
    return None


def _located(message: str, text: str) -> str:
    """Return the parser's message, with a line also where it only says that the document has ended."""
    if re.search(r"\(at line \d+", message):
        return message
    return re.sub(r" \(at end of document\)", "", message) + f" (at line {text.rstrip().count(chr(10)) + 1}, the last)"


def describe(world: Description) -> Document:
    """Return the document that says what a World built in Python says. Values are taken over as they are."""
    return {
        "world": {name: getattr(world, name) for name in SETTINGS},
        "models": _table(world.models),
        "agents": _agents(world.agents),
        "tools": _tools(world.tools),
        "messages": [_fields(message) for message in world.messages]
        if isinstance(world.messages, list | tuple)
        else world.messages,
    }


def _tools(entries: object) -> object:
    """Return servers of tools as tables, in which the keys of a kind stand beside the others."""
    tables = _table(entries)
    if isinstance(tables, dict):
        for name, table in tables.items():
            if isinstance(table, dict) and isinstance(settings := table.get("settings"), Mapping):
                others = {key: value for key, value in table.items() if key != "settings"}
                tables[name] = {**settings, **others}
    return tables


def _table(entries: object) -> object:
    if not isinstance(entries, Mapping):
        return entries
    return {name: _fields(entry) for name, entry in entries.items()}


def _agents(entries: object) -> object:
    tables = _table(entries)
    if isinstance(tables, dict):
        for table in tables.values():
            if isinstance(table, dict) and isinstance(source := table.get("source"), str):
                text = SourceText(source)
                table["source"] = text if "\n" in text or text.is_wat else source
    return tables


def _fields(part: object) -> object:
    """Return the fields of a part as a table, without those that say nothing."""
    if not dataclasses.is_dataclass(part) or isinstance(part, type):
        return part
    table = {item.name: getattr(part, item.name) for item in dataclasses.fields(part)}
    return {name: _fields(value) for name, value in table.items() if value is not None}
