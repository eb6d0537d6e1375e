"""The tables and views of every format that was ever released, as the texts in `sql/`.

Whoever changes the tables adds a version there and keeps the old one readable; `docs/journal.md` explains every column
to people who query a journal with SQL.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import Final

from turnwise.journal.file.format import FORMAT, FORMAT_OLDEST

_NAME: Final = re.compile(r"CREATE (?:TABLE|VIEW) (\w+)")


_OPTIONAL_SINCE: Final = 3


def _statements(name: str) -> list[str]:
    """The statements of a file: what stands between its comment and semicolons at the ends of lines."""
    text = resources.files("turnwise.journal.file").joinpath("sql", name).read_text(encoding="utf-8")
    text = text.removeprefix(text[: text.index("\n")])
    return [statement.strip() for statement in text.split(";\n") if statement.strip()]


def _named(statements: list[str]) -> dict[str, str]:
    matches = ((_NAME.match(statement), statement) for statement in statements)
    return {match.group(1): statement for match, statement in matches if match is not None}


SCHEMA: Final[dict[int, dict[str, str]]] = {
    version: _named(_statements(f"format-{version}.sql")) for version in range(FORMAT_OLDEST, FORMAT + 1)
}
"""Tables and views of each version, exactly those of a file of it.

Nothing else may be there, since a trigger or an index of a stranger could change what a query returns. The texts are
compared with a file's own when it is opened.
"""

OPTIONAL: Final[dict[int, dict[str, str]]] = {
    version: _named(_statements(f"optional-{version}.sql")) if version >= _OPTIONAL_SINCE else {}
    for version in range(FORMAT_OLDEST, FORMAT + 1)
}
"""Tables that a file of each version may have or lack. A new journal has them; whoever wants to may drop them."""

UPGRADES: Final[dict[int, tuple[str, ...]]] = {
    version: tuple(_statements(f"upgrade-{version}.sql")) for version in range(FORMAT_OLDEST + 1, FORMAT + 1)
}
"""Statements that turn a file of the version before into one of this version. No row changes."""

TABLES: Final = {name: sql for name, sql in SCHEMA[FORMAT].items() if sql.startswith("CREATE TABLE")} | OPTIONAL[FORMAT]
"""The tables of the format that is written."""

VIEWS: Final = {name: sql for name, sql in SCHEMA[FORMAT].items() if sql.startswith("CREATE VIEW")}
"""Views for people; Turnwise itself never reads them."""
