"""Tables of tool servers, and grants of tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from turnwise.core.tool_plan import CALLS_MAX_DEFAULT
from turnwise.world.json_values import to_text
from turnwise.world.limits import (
    CALL_SECONDS_MAX,
    CALLS_AT_ONCE_MAX,
    CALLS_MAX,
    NAMES_MAX,
    REPLY_KIB_MAX,
    SETTINGS_BYTES_MAX,
)
from turnwise.world.problems import said
from turnwise.world.written.reader import Reader
from turnwise.world.written.types import (
    CALL_SECONDS_DEFAULT,
    CALLS_AT_ONCE_DEFAULT,
    REPLY_KIB_DEFAULT,
    CallGrant,
    Tools,
)

KINDS: Final = ("files", "http", "mcp", "python", "wasm")
"""Kinds of servers."""

_CALL_HINT: Final = 'Write names of tools, and tables of those that a person approves: call = ["calc", '
_COMMON: Final = (
    "kind",
    "calls_max",
    "calls_at_once",
    "seconds_max",
    "reply_kib",
    "idempotent",
    "environment",
)


def tool(reader: Reader) -> Tools:
    """Read the table of a server. Keys that are not common to all kinds are settings of its own."""
    kind = reader.choice_or_none("kind", KINDS)
    if kind is None and not reader.present("kind"):
        reader.missing("kind", '"python"')
    made = Tools(
        kind=kind or "",
        calls_max=reader.integer("calls_max", CALLS_MAX_DEFAULT, 1, CALLS_MAX),
        calls_at_once=reader.integer("calls_at_once", CALLS_AT_ONCE_DEFAULT, 1, CALLS_AT_ONCE_MAX),
        seconds_max=reader.number("seconds_max", CALL_SECONDS_DEFAULT, 0.001, CALL_SECONDS_MAX),
        reply_kib=reader.integer("reply_kib", REPLY_KIB_DEFAULT, 1, REPLY_KIB_MAX),
        idempotent=_idempotent(reader),
        environment=_environment(reader),
        settings={key: value for key, value in reader.entries() if key not in _COMMON},
    )
    to_text(dict(made.settings), reader.path, reader.problems, SETTINGS_BYTES_MAX)
    reader.close()
    return made


def _idempotent(reader: Reader) -> bool | tuple[str, ...]:
    if isinstance(reader.value("idempotent"), list | tuple):
        return reader.texts("idempotent", example='["search"]')
    return reader.boolean("idempotent", False)


def _environment(reader: Reader) -> Mapping[str, Any]:
    value = reader.value("environment")
    if value is None:
        return {}
    path = (*reader.path, "environment")
    if not isinstance(value, Mapping) or len(value) > NAMES_MAX:
        reader.problems.add(path, f"must be a table, and is {said(value)}", 'Write environment = { LANG = "C.UTF-8" }.')
        return {}
    for name, entry in value.items():
        is_secret = isinstance(entry, Mapping) and entry.keys() == {"secret"} and is_reference(entry["secret"])
        if not isinstance(name, str) or not name or "=" in name or not (isinstance(entry, str) or is_secret):
            hint = 'Write a text, or the variable to take it from: NAME = { secret = "env:NAME" }.'
            reader.problems.add((*path, str(name)), f"is {said(entry)}", hint)
    return {name: entry for name, entry in value.items() if isinstance(name, str)}


def is_reference(value: object) -> bool:
    """Return whether a value says where a secret is to be found."""
    return isinstance(value, str) and value.startswith("env:") and len(value) > len("env:")


def call_grants(table: Reader) -> tuple[str | CallGrant, ...]:
    """Read the grant `call` of a kind."""
    value = table.value("call")
    path = (*table.path, "call")
    hint = f'{_CALL_HINT}{{ tool = "files.write", approve = true }}].'
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or len(value) > NAMES_MAX:
        table.problems.add(path, f"must be a list, and is {said(value)}", hint)
        return ()
    found: list[str | CallGrant] = []
    for index, item in enumerate(value):
        if isinstance(item, str | CallGrant):
            found.append(item)
        elif isinstance(item, Mapping):
            entry = Reader(item, (*path, index), table.problems)
            found.append(
                CallGrant(tool=entry.text("tool", example='"files.write"'), approve=entry.boolean("approve", False))
            )
            entry.close()
        else:
            table.problems.add((*path, index), f"must be a name or a table, and is {said(item)}", hint)
    return tuple(found)
