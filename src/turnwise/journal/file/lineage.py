"""The journals that a fork goes on from, read as one with it.

A fork copies nothing. Its reader attaches the files of its ancestors, each up to the round in which the next one left
it, and lays temporary views of the tables' names over them: SQLite looks there first, so whoever reads sees one run.
Numbers of agents, messages, writers and blobs go on where the parent's ended, so no two files use the same.

SQLite attaches few files at once; whoever makes a fork beyond `DEPTH_MAX` makes it whole.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from turnwise.core.head import genesis
from turnwise.core.plan_json import plan_from_json
from turnwise.errors import JournalError
from turnwise.journal.file.blobs import BlobReader
from turnwise.journal.file.errors import damaged
from turnwise.journal.file.parent import Parent
from turnwise.journal.file.schema import TABLES

DEPTH_MAX: Final = 8
"""Ancestors that a fork may have; one that would have more is made whole."""

ANCESTORS_MAX: Final = DEPTH_MAX + 1
"""Files that are read together with a fork's own, until it has been made whole; SQLite attaches up to 10."""

SEARCHED_MAX: Final = 10_000
"""Files of a folder that are looked at to find a parent that was moved."""

PARENT: Final = "parent"
"""Name of the row of `meta` that makes a journal a fork."""

ROOT_META: Final = ("plan", "chains")
"""Rows of `meta` that a fork has from the first of its ancestors."""

_BOUNDS: Final = {
    "agents": "place < {agents}",
    "messages": "seq < {messages}",
    "blobs": "id <= {blobs}",
    "writers": "(round < {round} OR id = 1) AND id <= {writers}",
    "codes": "1",
    "code_files": "1",
    "ends": "0",
    "ahead": "0",
}
"""Rows of an ancestor that belong to its descendants too. Of all other tables it is those up to the round."""

Opener = Callable[[Path], sqlite3.Connection]


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A journal that a fork goes on from, and where the next one left it."""

    path: Path
    left: Parent


def parent_of(connection: sqlite3.Connection, path: Path) -> Parent | None:
    """Return what a journal says of the run that it goes on from; None if it is no fork."""
    row = connection.execute("SELECT value FROM main.meta WHERE name = ?", (PARENT,)).fetchone()
    if row is None:
        return None
    try:
        return Parent.from_json(row[0])
    except (ValueError, TypeError) as error:
        raise damaged(path, f"what it says of its parent cannot be read: {error}", actual=row[0]) from error


def ancestors(
    connection: sqlite3.Connection, path: Path, moved: Sequence[Path], open_plain: Opener
) -> tuple[Ancestor, ...]:
    """Find the ancestors of a journal, the parent first. `moved` are files, and folders, to look for them in.

    `open_plain` opens one file by itself. Raises JournalError for one that is not there or is another.
    """
    found: list[Ancestor] = []
    parent = parent_of(connection, path)
    child = path
    while parent is not None:
        if len(found) == ANCESTORS_MAX:
            raise damaged(path, "it goes back over more journals than there can be", expected=ANCESTORS_MAX)
        child, next_ = _find(parent, child, moved, open_plain)
        found.append(Ancestor(child, parent))
        parent = next_
    return tuple(found)


def _find(parent: Parent, child: Path, moved: Sequence[Path], open_plain: Opener) -> tuple[Path, Parent | None]:
    """The file of a parent, and its own parent."""
    problem: JournalError | None = None
    others = 0
    for path, is_named in _candidates(parent, child, moved):
        fits = False
        try:
            with closing(open_plain(path)) as connection:
                fits = _head(connection, path, parent.round) == parent.head
                if fits:
                    _check_agents(connection, child, parent)
                    return path, parent_of(connection, path)
        except JournalError as error:  # a file that nobody has named may be anything
            if fits or (is_named and path.exists()):
                problem = problem or error
            continue
        others += 1
        if is_named and problem is None:
            what = f"after round {parent.round}, {path} is not the run that was forked: it was changed, or is another"
            problem = _missing(what, parent, child)
    looked = f", and none of {others:,} others that were looked at has its head" if others else ""
    raise problem or _missing(f"the journal that it was forked from is not there: {parent.path}{looked}", parent, child)


def _missing(what: str, parent: Parent, child: Path) -> JournalError:
    return JournalError(
        f"{what}. What is looked for is a journal with head {parent.head.hex()} after round {parent.round}.",
        where=str(child),
        expected=parent.head.hex(),
        hint="Say where it is now, by its path or that of its folder: --parent PATH, or parents=[…] in Python.",
    )


def _check_agents(connection: sqlite3.Connection, child: Path, parent: Parent) -> None:
    """Compare the number of agents with what the parent says, of which each round notes its own."""
    select = "SELECT agents FROM main.rounds WHERE round = ?" if parent.round else "SELECT count(*) FROM main.agents"
    row = connection.execute(
        select if parent.round else f"{select} WHERE born = 0", (parent.round,) if parent.round else ()
    ).fetchone()
    if row is None or row[0] != parent.agents:
        raise damaged(child, "the agents of its parent do not count on", expected=parent.agents, actual=row)


def _candidates(parent: Parent, child: Path, moved: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    """Yield files to look at, and whether somebody has named the file itself."""
    yield (child.parent / parent.path).resolve(), True
    yield child.parent / Path(parent.path).name, True
    for place in moved:
        if place.is_dir():
            with os.scandir(place) as entries:
                names = sorted(entry.name for entry in islice(entries, SEARCHED_MAX) if entry.is_file())
            yield from ((place.resolve() / name, False) for name in names if name.endswith(".journal"))
        else:
            yield place.resolve(), True


def _head(connection: sqlite3.Connection, path: Path, round_: int) -> bytes | None:
    """Head after a round that lies in this file itself."""
    if round_:
        row = connection.execute("SELECT head FROM main.rounds WHERE round = ?", (round_,)).fetchone()
        return None if row is None else row[0]
    rows = dict(connection.execute("SELECT name, value FROM main.meta WHERE name IN ('plan', 'chains')"))
    plan = rows.get("plan")
    if plan is None:
        return None
    text = plan if isinstance(plan, str) else BlobReader(connection, path).text(plan)
    return genesis(plan_from_json(text), 1 if rows.get("chains") is None else int(rows["chains"]))


def parent_path(connection: sqlite3.Connection, path: Path) -> Path:
    """Return the file of the parent, as it was found when the journal was opened."""
    files = [Path(row[2]) for row in connection.execute("PRAGMA database_list") if row[1] not in ("main", "temp")]
    if not files:
        raise damaged(path, "it has no parent")
    return files[0]


def points(connection: sqlite3.Connection) -> list[Parent]:
    """Return the points at which an open journal left its parent, that its own, and so on; the latest first."""
    schemas = [row[1] for row in connection.execute("PRAGMA database_list") if row[1] != "temp"]
    select = "SELECT value FROM {}.meta WHERE name = ?"
    rows = [connection.execute(select.format(schema), (PARENT,)).fetchone() for schema in schemas]
    return [Parent.from_json(row[0]) for row in rows if row is not None]


def fork_point(connection: sqlite3.Connection, path: Path, head: bytes, at: int, fork: Path) -> tuple[Parent, int]:
    """Return what a fork in the file `fork` says of the journal that it leaves after round `at`.

    `connection` reads the journal at `path` and its ancestors; the parent is the one of these that holds the round.
    The second value counts the ancestors that the fork has.
    """
    files = [(row[1], Path(row[2])) for row in connection.execute("PRAGMA database_list") if row[1] != "temp"]
    left_behind = 0
    for schema, _ in files:
        row = connection.execute(f"SELECT value FROM {schema}.meta WHERE name = ?", (PARENT,)).fetchone()
        parent = None if row is None else Parent.from_json(row[0])
        if parent is None or at > parent.round:
            break
        left_behind += 1
    else:
        raise damaged(path, "it has no beginning")
    file = path if schema == "main" else dict(files)[schema]
    message = (
        "SELECT message_first + inputs + messages FROM rounds "
        "WHERE round <= ? AND message_first IS NOT NULL ORDER BY round DESC LIMIT 1"
    )
    agents = connection.execute("SELECT count(*) FROM agents WHERE born <= ?", (at,)).fetchone()[0]
    sent = connection.execute(message, (at,)).fetchone()
    blobs, writers = (
        max(connection.execute(f"SELECT max(id) FROM {schema}.{table}").fetchone()[0] or 0, before)
        for table, before in (("blobs", parent.blobs if parent else 0), ("writers", parent.writers if parent else 0))
    )
    try:
        shown = os.path.relpath(file, fork.parent)
    except ValueError:  # on another drive
        shown = str(file)
    left = Parent(shown, head, at, agents, 0 if sent is None else sent[0], blobs, writers)
    return left, len(files) - left_behind


def attach(connection: sqlite3.Connection, lineage: Sequence[Ancestor]) -> None:
    """Make a connection to a fork read its ancestors too."""
    names = attach_files(connection, lineage)
    tables = dict(connection.execute("SELECT name, name FROM main.sqlite_master WHERE type = 'table'"))
    for table in TABLES:
        if table in tables:
            connection.execute(f"CREATE TEMP VIEW {table} AS {_union(connection, table, names, lineage)}")


def attach_files(connection: sqlite3.Connection, lineage: Sequence[Ancestor]) -> list[str]:
    """Attach the files of ancestors; return the names that they have there."""
    names = [f"ancestor_{number}" for number in range(1, len(lineage) + 1)]
    for name, ancestor in zip(names, lineage, strict=True):
        connection.execute(f"ATTACH ? AS {name}", (f"{ancestor.path.as_uri()}?mode=ro",))
    return names


def _union(connection: sqlite3.Connection, table: str, names: Sequence[str], lineage: Sequence[Ancestor]) -> str:
    columns = _columns(connection, "main", table)
    parts = []
    for name, ancestor in zip(reversed(names), reversed(lineage), strict=True):
        part = select_of_ancestor(connection, name, table, columns, ancestor.left, root=name == names[-1])
        if part is not None:
            parts.append(part)
    return " UNION ALL ".join([*parts, f"SELECT {', '.join(columns)} FROM main.{table}"])


def select_of_ancestor(
    connection: sqlite3.Connection, schema: str, table: str, columns: Sequence[str], left: Parent, *, root: bool
) -> str | None:
    """Return the statement that selects what descendants have of a table of an ancestor; None if that is nothing."""
    there = _columns(connection, schema, table)
    if not there or table in ("ends", "ahead") or (table == "meta" and not root):
        return None
    if table == "meta":
        where = f"name IN ({', '.join(repr(name) for name in ROOT_META)})"
    else:
        where = _BOUNDS.get(table, "round <= {round}").format(
            round=left.round, agents=left.agents, messages=left.messages, blobs=left.blobs, writers=left.writers
        )
    shown = [column if column in there else f"{'0' if column == 'waves' else 'NULL'} AS {column}" for column in columns]
    return f"SELECT {', '.join(shown)} FROM {schema}.{table} WHERE {where}"


def _columns(connection: sqlite3.Connection, schema: str, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA {schema}.table_info({table})")]


def absorb(connection: sqlite3.Connection, lineage: Sequence[Ancestor]) -> None:
    """Copy into a fork what it has of its ancestors, in the caller's transaction. The files have been attached."""
    names = [f"ancestor_{number}" for number in range(1, len(lineage) + 1)]
    connection.execute("DELETE FROM main.meta WHERE name = ?", (PARENT,))
    present = dict(connection.execute("SELECT name, name FROM main.sqlite_master WHERE type = 'table'"))
    for table in TABLES:
        if table not in present:
            continue
        columns = _columns(connection, "main", table)
        for name, ancestor in zip(names, lineage, strict=True):
            part = select_of_ancestor(connection, name, table, columns, ancestor.left, root=name == names[-1])
            if part is not None:
                connection.execute(f"INSERT INTO main.{table} ({', '.join(columns)}) {part}")
