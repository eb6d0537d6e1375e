"""A journal is untrusted when it is opened: no value in it raises anything but JournalError that says "damaged"."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.journal.records import agents, chain, columns_of_tables, simple
from turnwise.core.canonical import canonical
from turnwise.core.records import (
    AgentRecord,
    AnswerRecord,
    ChangeRecord,
    EffectRecord,
    EndRecord,
    MessageRecord,
    ParkRecord,
    QuestionRecord,
    RoundRecord,
    WaveRecord,
)
from turnwise.core.snapshot import Snapshot
from turnwise.core.turn import Failure, FailureClass, Log, Record, Spawn, TurnOutput
from turnwise.errors import JournalError
from turnwise.journal import CodeSource, Journal, RoundTimes, Span
from turnwise.journal.file.box_position import BoxPosition
from turnwise.journal.file.schema import TABLES

COUNT = 12
CODES = {
    "aa" * 32: CodeSource("module", "a.wat", (("a.wat", b"(module)"),)),
    "bb" * 32: CodeSource("component", "b.py", (("b.py", b"pass"), ("lib.py", b"pass")), "cc" * 32),
}


TIMES = RoundTimes(2, 1, 2, {0: Span(1, 2)}, {(0, 0): Span(1, 2)}, {1: Span(1, 2)})
NUMBERS = tuple(range(COUNT + 1))
SNAPSHOT = Snapshot(2, 2 * COUNT, NUMBERS, NUMBERS, NUMBERS, (9,), ((0, (COUNT, COUNT + 3)), (2, (7,))))


def rich_round() -> RoundRecord:
    """A round in which every column of every table has a value."""
    base = simple(2, COUNT)
    output = base.turns[0].output
    assert output is not None
    output = replace(
        output,
        log=(Log("info", "text"),),
        record=(Record("price", 1.5),),
        wake_in=3,
        spawn=(Spawn("a", "child", None, None),),
        stop=("a-9",),
        finish='"done"',
    )
    effect = EffectRecord(0, "generate", "storyteller", '{"prompt":"p"}', '{"ok":{}}', (7, 8))
    content = b"a content"
    asked = {"effect": "put", "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    put = EffectRecord(1, "put", None, canonical(asked), '{"ok":{"handle":"h"}}', None, content)
    first = replace(base.turns[0], output=output, effects=(effect, put), stdout="printed")
    failed = replace(base.turns[-1], output=None, failure=Failure(FailureClass.TRAP, "why"), effects=(effect,))
    second = replace(base.turns[1], inbox=())  # the first round's first message is left out
    child = AgentRecord(COUNT, "child", "a", "{}", "", 2, 0, ("a", "b"))
    messages = (*base.messages[:-2], replace(base.messages[-2], recipients=(0, 2, 4, 6, 8)))
    inputs = (MessageRecord(COUNT, 1, None, "a-0", "from outside", (0,), "h"),)
    messages = tuple(replace(message, seq=message.seq + 1) for message in messages)
    waves = (WaveRecord(1, "storyteller", ((0, 0),), "{}"), WaveRecord(2, "storyteller", ((COUNT - 1, 0),), "{}"))
    return replace(
        base,
        turns=(first, second, *base.turns[2:-1], failed),
        inputs=inputs,
        messages=messages,
        spawned=(child,),
        stopped=(9,),
        waves=waves,
        outcome=chain("outcome", 2),
        state=chain("state", 2),
    )


def waiting_round() -> RoundRecord:
    """A round in which one waits, and another is answered."""
    effect = EffectRecord(0, "generate", "storyteller", '{"prompt":"p"}', '{"ok":{}}', (7, 8))
    question = QuestionRecord(1, 1, "ask", '{"effect":"ask","question":"well?"}', 9)
    waits = ParkRecord(0, 3, (COUNT + 3,), 2, (effect,), (question,), ((1, False), (1, True)), 70, 5, 2)
    base = RoundRecord(3, (), (), (), (), (), chain("head", 3), chain("execution", 3), outcome=chain("outcome", 3))
    return replace(base, parks=(waits,), answers=(AnswerRecord(1, '{"ok":{"answer":1}}'),))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("hostile") / "run.journal"
    long = TurnOutput("s" * 3_000)
    with Journal.create(path, plan="{}", info="{}", versions="{}", codes=CODES, agents=agents(COUNT)) as journal:
        first = simple(1, COUNT)
        idle = replace(first.turns[0], output=long)
        journal.writer.commit(replace(first, turns=(idle, *first.turns[1:]), messages=first.messages[1:]))
        journal.writer.commit(rich_round(), None, TIMES, SNAPSHOT)
        journal.writer.commit(waiting_round(), received=BoxPosition("a box", 100))
        journal.writer.end(EndRecord("finished", 3, '"done"', "message", chain("end")))
    with Journal.open(path) as journal:
        assert journal.check() == 3
        assert journal.rounds.round(2) == rich_round()
        assert journal.rounds.round(3) == waiting_round()
    changed(path, "INSERT INTO changes VALUES (2, 0, 'args', 0, ?)", '{"a":1}')  # as a fork has from its beginning
    with Journal.open(path) as journal:
        assert journal.rounds.round(2).changes == (ChangeRecord("args", 0, '{"a":1}'),)
    return path.read_bytes()


def read_everything(path: Path) -> None:
    with Journal.open(path) as journal:
        header, rounds = journal.header, journal.rounds
        _ = header.plan, header.info, header.versions, header.codes, header.received, rounds.end_record, rounds.head
        journal.ahead.rows()
        list(journal.rounds.summaries())
        for record in journal.rounds.between():
            list(journal.queries.turns(0, record.round))
            journal.world.state_at(0, record.round)
        list(journal.queries.turns(0))
        list(journal.queries.messages())
        list(journal.queries.records())
        list(journal.queries.logs())
        list(journal.world.standings())
        journal.world.pending()
        list(journal.timings.between())
        list(journal.snapshots.all())
        journal.contents.withheld()
        journal.contents.check()
        journal.check()


VALUES = [
    None,
    -1,
    7,
    2**63 - 1,
    1.5,
    "",
    "text",
    "[[0,9000000000000000000]]",
    "[[0,0],[0,0]]",
    "[" * 50_000,
    '{"spawn":[[1,2,3,4]]}',
    '{"stop":7}',
    '{"finish":7}',
    '{"other":7}',
    b"\xff\xfe\0bytes",
    b"x" * 32,
]

COLUMNS = [(table, column) for table, columns in columns_of_tables().items() for column in columns]

ONLY_ORDER = {
    ("writers", "id"),
    ("ends", "id"),
    ("code_files", "code"),
    ("code_files", "nr"),
    ("timings", "round"),
    ("snapshots", "round"),
    ("answers", "round"),
    ("received", "round"),
}
"""Columns in which any number keeps the order of rows or the core notices the difference."""


def changed(path: Path, sql: str, *parameters: object) -> bool:
    """Whether SQLite allowed a change, made as an attacker would: without our tables' constraints where it can be."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA synchronous = OFF")
        try:
            return database.execute(sql, parameters).rowcount > 0
        except (sqlite3.IntegrityError, OverflowError):
            return False


def complaint(path: Path) -> str | None:
    """What reading says, if it is one of our errors; None if everything can be read."""
    try:
        read_everything(path)
    except JournalError as error:
        return str(error)
    return None


def under_way(path: Path, whole: bytes) -> bytes:
    """The same run before its end, in which something is known ahead of its round."""
    path.write_bytes(whole)
    assert changed(path, "DELETE FROM ends")
    row = 4, 2, 0, 0, '{"effect":"call"}', 1, 1, '{"ok":{}}', "[7,8]"
    assert changed(path, "INSERT INTO ahead VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", *row)
    assert complaint(path) is None
    return path.read_bytes()


EACH = 3
"""One in so many values is tried in a column, from another on in the next; all of them where that is asked for."""


def some_values(table: str, column: str) -> list[object]:
    """Values for a column: a number, a text and bytes that are none of ours, and a part of the others."""
    first = COLUMNS.index((table, column)) % EACH
    return [value for at, value in enumerate(VALUES) if at % EACH == first or value in (-1, "text", VALUES[-2])]


def test_each_value_is_tried_somewhere_in_each_table() -> None:
    tables = {table: sum(of == table for of, _ in COLUMNS) for table, _ in COLUMNS}
    for table in [name for name, columns in tables.items() if columns >= EACH]:
        tried = [value for of, column in COLUMNS if of == table for value in some_values(table, column)]
        assert all(value in tried for value in VALUES), table


@pytest.mark.parametrize(("table", "column"), COLUMNS)
@pytest.mark.parametrize("all_of_them", [False, pytest.param(True, marks=pytest.mark.exhaustive)])
def test_any_value_in_any_column(tmp_path: Path, whole: bytes, table: str, column: str, all_of_them: bool) -> None:
    path = tmp_path / "run.journal"
    allowed = 0
    complaints = []
    if table == "ahead":
        whole = under_way(path, whole)
    for value in VALUES if all_of_them else some_values(table, column):
        path.write_bytes(whole)
        one = f"rowid = (SELECT rowid FROM {table} WHERE {column} IS NOT NULL LIMIT 1)"
        if "WITHOUT ROWID" in TABLES[table]:
            one = f"{column} = (SELECT max({column}) FROM {table})"
        if changed(path, f"UPDATE {table} SET {column} = ? WHERE {one}", value):
            allowed += 1
            complaints.append(complaint(path))
    noticed = [text for text in complaints if text is not None]
    assert allowed
    assert all("the journal is damaged: " in text for text in noticed)
    assert noticed or (table, column) in ONLY_ORDER


KEPT = (
    "rounds",
    "turns",
    "effects",
    "messages",
    "logs",
    "records",
    "stops",
    "waves",
    "agents",
    "blobs",
    "parks",
    "questions",
)


@pytest.mark.parametrize("table", KEPT)
def test_missing_rows_are_noticed(tmp_path: Path, whole: bytes, table: str) -> None:
    path = tmp_path / "run.journal"
    for order in ("ASC", "DESC"):
        path.write_bytes(whole)
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})") if row[5]]
            ordered = ", ".join(f"{column} {order}" for column in columns)
            keys = database.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {ordered} LIMIT 1").fetchone()
            match = " AND ".join(f"{column} = ?" for column in columns)
            assert database.execute(f"DELETE FROM {table} WHERE {match}", keys).rowcount == 1
        if (table, order) == ("rounds", "DESC"):
            continue  # an end of a journal that is missing whole is a shorter journal
        with pytest.raises(JournalError, match="damaged"):
            read_everything(path)


def test_text_that_is_not_utf_8(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "run.journal"
    for table, column in (("agents", "name"), ("messages", "body"), ("turns", "stdout"), ("meta", "value")):
        path.write_bytes(whole)
        assert changed(path, f"UPDATE {table} SET {column} = CAST(x'fffe41' AS TEXT) WHERE {column} IS NOT NULL")
        with pytest.raises(JournalError, match="damaged"):
            read_everything(path)


def test_a_failed_turn_with_an_output(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "run.journal"
    for change in ("state = 's'", "wake_in = 1", "extra = '{}'", "failure = 'bored'", "message = NULL"):
        path.write_bytes(whole)
        assert changed(path, f"UPDATE turns SET {change} WHERE failure IS NOT NULL")
        with pytest.raises(JournalError, match="damaged"):
            read_everything(path)
    path.write_bytes(whole)
    assert changed(path, "UPDATE turns SET failure = 'trap', message = 'm', state = NULL WHERE round = 2 AND place = 5")
    with pytest.raises(JournalError, match="damaged"):
        read_everything(path)


def test_a_message_read_twice_or_by_nobody_it_was_sent_to(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "run.journal"
    for inbox in ("[[3,3]]", "[[1,1],[1,1]]", "[[24,24]]"):
        path.write_bytes(whole)
        assert changed(path, "UPDATE turns SET inbox = ? WHERE round = 2 AND place = 2", inbox)
        with Journal.open(path) as journal, pytest.raises(JournalError, match="damaged"):
            journal.check()


def test_damage_stops_a_writer_too(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "run.journal"
    path.write_bytes(whole)
    assert changed(path, "UPDATE rounds SET head = 'text' WHERE round = 2")
    with Journal.open(path, write=True) as journal, pytest.raises(JournalError, match="damaged"):
        list(journal.rounds.between())
