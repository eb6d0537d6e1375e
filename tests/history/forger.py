"""Somebody who changes a journal, and perhaps makes its chains anew so that they fit what he wrote."""

from __future__ import annotations

import json
import shutil
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from turnwise.core import head as chain
from turnwise.core.plan_json import plan_from_json
from turnwise.journal import Journal
from turnwise.journal.file.snapshot_row import MEMBERS


def changed(journal: Path, folder: Path, *statements: str) -> Path:
    """A copy of a journal that somebody has changed."""
    copy = folder / "changed.journal"
    shutil.copyfile(journal, copy)
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        for statement in statements:
            assert connection.execute(statement).rowcount > 0, statement
    return copy


def edited_snapshot(journal: Path, folder: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    """A copy in which somebody has changed the numbers of the latest snapshot."""
    copy = folder / "edited.journal"
    shutil.copyfile(journal, copy)
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        select = "SELECT round, size, data FROM snapshots ORDER BY round DESC LIMIT 1"
        round_, size, data = connection.execute(select).fetchone()
        numbers = json.loads(data if len(data) == size else zlib.decompress(data))
        assert tuple(numbers) == MEMBERS
        edit(numbers)
        content = json.dumps(numbers).encode()
        connection.execute("UPDATE snapshots SET size = ?, data = ? WHERE round = ?", (len(content), content, round_))
    return copy


def without_snapshots(journal: Path, folder: Path) -> Path:
    """A copy of a journal of which somebody has dropped the table of snapshots."""
    copy = folder / f"{journal.stem}-dropped.journal"
    shutil.copyfile(journal, copy)
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("DROP TABLE snapshots")
    return copy


def rechained(path: Path) -> Path:
    """Make both chains anew, and the head of the end, from what the journal now says of its rounds."""
    with Journal.open(path) as journal:
        header = journal.header
        rule, writers = header.rule, header.writers()
        head = chain.genesis(plan_from_json(header.plan), rule)
        execution = chain.execution_genesis(writers[0].versions, rule)
        before, rows = 0, []
        for record in journal.rounds.between():
            facts = chain.facts_of(record, rule)
            head, outcome = chain.advance(head, facts, rule, record.state), chain.outcome(facts, rule)
            if (continued := header.continued_versions(before, writers)) is not None:
                execution = chain.execution_continued(execution, continued)
            execution = chain.execution_advance(execution, record.round, record.turns, record.waves, rule, record.parks)
            rows.append((head, outcome, execution, record.round))
            before = record.round
        end = journal.rounds.end_record
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executemany("UPDATE rounds SET head = ?, outcome = ?, execution = ? WHERE round = ?", rows)
        if end is not None:
            connection.execute("UPDATE ends SET head = ?", (chain.ended(head, end, rule),))
    return path
