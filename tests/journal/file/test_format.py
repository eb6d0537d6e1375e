"""The format is a promise: journals of every version are read, and every column is documented."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.journal.recorded import recorded_run
from tests.journal.records import columns_of_tables
from turnwise.core.records import EffectRecord, TurnRecord, WaveRecord
from turnwise.core.turn import TurnOutput
from turnwise.journal import CodeSource, Journal
from turnwise.journal.file import connection, format, lineage  # noqa: A004 - the module's name
from turnwise.journal.file.format import APPLICATION_ID, FORMAT, FORMAT_OLDEST, INTEGER_MAX
from turnwise.journal.file.schema import SCHEMA, VIEWS

ROOT = Path(__file__).parents[3]
DOCUMENT = (ROOT / "docs" / "journal.md").read_text(encoding="utf-8")
RECORDED = sorted((Path(__file__).parents[1] / "formats").glob("*.journal"))


def test_there_is_a_recorded_journal_of_every_format() -> None:
    versions = set()
    for path in RECORDED:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as database:
            versions.add(database.execute("PRAGMA user_version").fetchone()[0])
    assert versions == set(range(FORMAT_OLDEST, FORMAT + 1)) == set(SCHEMA)


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda path: path.stem)
def test_a_recorded_journal_is_read_and_goes_on(tmp_path: Path, recorded: Path) -> None:
    path = tmp_path / "run.journal"
    shutil.copyfile(recorded, path)
    beginning, rounds, end = recorded_run(int(recorded.stem.removeprefix("format-")))
    before = path.read_bytes()
    with Journal.open(path) as journal:
        assert journal.check() == len(rounds)
        assert list(journal.queries.agents(0)) == list(beginning)
        assert list(journal.rounds.between()) == rounds
        assert journal.rounds.end_record == end
        assert journal.header.plan == '{"name":"recorded"}'
        assert journal.header.codes == {
            "aa" * 32: CodeSource("module", "a.wat", (("a.wat", b"(module)"),)),
            "bb" * 32: CodeSource("component", "b.py", (("b.py", b"pass\n"), ("lib/c.py", b"x = 1\n")), "cc" * 32),
        }
    assert path.read_bytes() == before
    with Journal.open(path, write=True) as journal:
        effect = EffectRecord(0, "generate", "storyteller", "{}", "{}")
        turns = (TurnRecord(2, 3, (), TurnOutput(""), None, (effect,), "", 1, 2),)
        waves = (WaveRecord(1, "storyteller", ((2, 0),), "{}"),)
        following = type(rounds[-1])(rounds[-1].round + 1, turns, (), (), (), (), b"h" * 32, b"e" * 32, waves)
        journal.writer.commit(following)
        assert list(journal.rounds.between()) == [*rounds, following]
        assert journal.rounds.end_record is None
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (FORMAT,)


def test_who_reads_an_older_journal_sees_what_is_added_while_it_is_open(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    shutil.copyfile(RECORDED[0], path)
    with Journal.open(path) as reader:
        assert [round_.waves for round_ in reader.rounds.between()] == [()] * 3
        effect = EffectRecord(0, "generate", "storyteller", "{}", "{}")
        turns = (TurnRecord(2, 3, (), TurnOutput(""), None, (effect,), "", 1, 2),)
        waves = (WaveRecord(1, "storyteller", ((2, 0),), "{}"),)
        with Journal.open(path, write=True) as writer:
            writer.writer.commit(type(reader.rounds.round(5))(6, turns, (), (), (), (), b"h" * 32, b"e" * 32, waves))
        assert [round_.waves for round_ in reader.rounds.between()] == [(), (), (), waves]


def documented() -> Iterator[tuple[str, str]]:
    """(table, column) of every row of the document's tables."""
    tables: list[str] = []
    for line in DOCUMENT.splitlines():
        if line.startswith("### "):
            named = line.removeprefix("### ").split(", ")
            tables = named if set(named) <= columns_of_tables().keys() else []
        elif line.startswith("## "):  # the tables of another section are not those of the file
            tables = []
        elif line.startswith("| column of"):
            tables = re.findall(r"`(\w+)`", line)
        elif line.startswith("| `") and tables:
            yield from ((tables[0], column) for column in re.findall(r"`(\w+)`", line.split("|")[1]))


def test_every_column_is_documented_and_no_other() -> None:
    assert sorted(documented()) == sorted(
        (table, column) for table, columns in columns_of_tables().items() for column in columns
    )
    assert str(APPLICATION_ID) in DOCUMENT
    assert all(f"`{view}`" in DOCUMENT for view in VIEWS)


QUERIES = re.findall(r"```sql\n(.*?)```", DOCUMENT, re.DOTALL)


def uncompressed(data: bytes, size: int) -> bytes:
    return data if len(data) == size else zlib.decompress(data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("run.journal", "other.journal"):
        shutil.copyfile(RECORDED[-1], tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_the_documents_queries_answer(folder: Path, query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    rows: list[tuple[object, ...]] = []
    with closing(sqlite3.connect(folder / "run.journal")) as database:
        database.create_function("sqlar_uncompress", 2, uncompressed)
        for statement in query.split(";"):
            rows += database.execute(statement).fetchall()
    assert rows


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_the_documents_queries_answer_in_the_sqlite3_program(folder: Path, query: str) -> None:
    program = shutil.which("sqlite3")
    if program is None:
        pytest.skip("the sqlite3 program is not installed")
    done = subprocess.run(
        [program, "-readonly", "run.journal"], input=query, capture_output=True, text=True, check=True, cwd=folder
    )
    assert done.stderr == ""
    assert done.stdout


def test_views_show_long_texts_whole(folder: Path) -> None:
    _, rounds, _ = recorded_run()
    outputs = {turn.place: turn.output for turn in rounds[0].turns}
    with closing(sqlite3.connect(folder / "run.journal")) as database:
        database.create_function("sqlar_uncompress", 2, uncompressed)
        shown = database.execute("SELECT place, state FROM show_turns WHERE round = 1 AND failure IS NULL").fetchall()
    assert shown == [(place, output.state) for place, output in outputs.items() if output is not None]
    assert any(len(state) > 1_000 for _, state in shown)


def test_the_bounds_are_those_that_are_documented() -> None:
    section = DOCUMENT.partition("## Bounds")[2].partition("\n## ")[0]
    assert [int(number) for number in re.findall(r"\| (\d+) +\|$", section, re.MULTILINE)] == [
        format.BLOB_BYTES_MAX,
        format.COMPRESS_BYTES_MIN,
        format.STATE_INLINE_CHARS_MAX,
        format.TEXT_INLINE_CHARS_MAX,
        format.BODY_INLINE_CHARS_MAX,
        lineage.DEPTH_MAX,
        lineage.SEARCHED_MAX,
        connection.BUSY_MS,
        connection.WAL_CHECKPOINT_PAGES,
    ]
    assert lineage.DEPTH_MAX < lineage.ANCESTORS_MAX < 10  # files that SQLite attaches, one to spare


def test_the_largest_number_is_that_of_sqlite() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        assert connection.execute("SELECT ?", (INTEGER_MAX,)).fetchone() == (INTEGER_MAX,)
        with pytest.raises(OverflowError):
            connection.execute("SELECT ?", (INTEGER_MAX + 1,))
