"""Whatever a journal holds is proved: any column that is changed is noticed, but for those that are listed here.

The list is that of decision 23: `docs/decisions/0023-journal-format-3.md`.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import turnwise
from tests.history.forger import changed, rechained
from tests.inference import toy
from tests.journal.records import columns_of_tables
from tests.orchestrator.worlds import lively
from turnwise import Agent, Grants, InitialMessage, JournalError, Model, TurnwiseError, World
from turnwise.journal import Journal
from turnwise.journal.file.schema import TABLES

AGENT = """
from turnwise_guest import Turn

def turn(t: Turn) -> None:
    t.log(f"turn {t.turn}")
    t.record("turn", t.turn)
    print("printed by", t.self_name)
    t.state["said"] = t.state.get("said", "") + t.generate("model", "a story", tokens_max=4).text
    if t.self_name == "worker-2":
        raise ValueError("it never works")
    t.send("worker", "x" * 600, attach=t.put(f"content of {t.self_name}".encode()))
    if t.turn == 1 and t.self_name == "worker-1":
        t.spawn("child", "child-of-" + t.self_name, args={"n": 1}, state={"a": 1})
    if t.turn == 2 and t.self_name == "worker-1":
        t.stop("child-of-" + t.self_name)
    if t.turn == 3:
        t.finish({"done": True})
    t.wake_in(1)
"""

CHILD = """
def turn(t):
    t.send("worker", "here")
"""


ASKER = """
def turn(t):
    t.generate("model", "a question", tokens_max=2)
    t.state["answer"] = t.ask("May I?", schema={"type": "boolean"}, deadline=30, default=False)
"""


def world(model: Path) -> World:
    grants = Grants(send=["worker"], spawn=["child"], stop=["child*"], generate=["model"], finish=True)
    return turnwise.World(
        name="everything",
        seed=3,
        rounds_max=9,
        models={"model": Model(model, provider="cpu", batching="free")},
        agents={
            "worker": Agent(AGENT, args=[{"n": 1}, {"n": 2}], start=True, groups=["worker"], grants=grants),
            "child": Agent(CHILD, count=0, start=True, grants=Grants(send=["worker"])),
            "asker": Agent(ASKER, args={"n": 3}, grants=Grants(generate=["model"], ask=True)),
        },
        messages=[InitialMessage("worker-1", "go"), InitialMessage("asker", "ask")],
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run in which every column of every table has a value somewhere."""
    folder = tmp_path_factory.mktemp("forgery")
    path = folder / "whole.journal"
    with world(toy.write_mixing_folder(folder / "model")).start(journal=path) as live:
        live.step()
        turnwise.send(path, "asker", "read me")
        assert live.answer(1, True)
    with turnwise.resume(path) as live:
        assert live.answer(1, True)
        live.result().close()
    with closing(sqlite3.connect(path)) as connection:
        for table, columns in columns_of_tables().items():
            for column in columns:
                if (table, column) not in EMPTY:
                    found = connection.execute(f"SELECT count(*) FROM {table} WHERE {column} IS NOT NULL").fetchone()
                    assert found[0], (table, column)
    return path


EMPTY = {
    ("ends", "message"),
    ("rounds", "state"),
    *[(table, column) for table in ("changes", "snapshots", "ahead") for column in columns_of_tables()[table]],
}
"""A run that has finished has no message of its end (`test_the_message_of_a_failed_run`), only a fork has changes
(`test_any_change_that_was_forged_is_noticed`), nothing is known ahead of rounds when there are none to come
(`test_nothing_is_known_ahead_of_a_run_that_has_ended`), and a short run has no snapshots
(`tests/history/test_forged_snapshots.py`)."""

NOT_PROVED = {
    ("writers", "id"),
    ("writers", "round"),
    ("writers", "info"),
    ("ends", "id"),
    ("code_files", "nr"),
    *[("received", column) for column in columns_of_tables()["received"]],
    *[("timings", column) for column in columns_of_tables()["timings"]],
}
"""What no head depends on: where models were found, which of several writers with the same versions executed a round,
numbers that only order rows, how far a file was read that messages come by, and times by the clock."""


def noticed(path: Path) -> str | None:
    """What opening, reading or replaying a journal says that is wrong with it."""
    try:
        with turnwise.open(path) as run, Journal.open(path) as journal:
            assert run.status
            assert run.numeric_classes
            run.check()
            journal.check()
        found = turnwise.replay(path, workers=1)
    except TurnwiseError as error:
        assert "defect" not in str(error)
        return str(error)
    return str(found.difference) if found.difference is not None else None


def test_an_honest_journal_is_not_noticed(whole: Path) -> None:
    assert noticed(whole) is None


def others(value: object) -> list[object]:
    """Other values that a forger might write instead of a stored one."""
    match value:
        case None:
            return [0, "x"]
        case int() | float():
            return [value + 1]
        case bytes():
            return [value[:-1] + bytes([value[-1] ^ 1])]
        case str() if value.startswith("[["):  # runs of numbers
            return ["[[0,0]]" if value != "[[0,0]]" else "[[1,1]]", f"{value[:-1]},{value[1:]}"]
        case str() if re.fullmatch(r"\[[\d,]+\]", value):  # numbers
            return [f"{value[:-1]},0]", "[0]"]
        case str() if value.startswith("{"):
            return ['{"a":2}', re.sub(r"[a-z]([^a-z]*)$", r"q\1", value)]
        case _:
            return [f"{value}x"]


COLUMNS = [
    (table, column)
    for table, columns in columns_of_tables().items()
    for column in columns
    if table not in ("changes", "snapshots", "ahead")
]


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_any_column_that_is_changed_is_noticed(whole: Path, tmp_path: Path, table: str, column: str) -> None:
    keys = "rowid" if "WITHOUT ROWID" not in TABLES[table] else ", ".join(primary_key(table))
    with closing(sqlite3.connect(whole)) as connection:
        rows = connection.execute(f"SELECT {column}, {keys} FROM {table}").fetchall()
    where = " AND ".join(f"{key} = ?" for key in keys.split(", "))
    unnoticed = []
    tried = 0
    for value, *key in rows:
        for other in others(value):
            path = tmp_path / "forged.journal"
            shutil.copyfile(whole, path)
            with closing(sqlite3.connect(path, isolation_level=None)) as connection:
                try:
                    connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (other, *key))
                except sqlite3.IntegrityError:
                    continue
            tried += 1
            if noticed(path) is None:
                unnoticed.append((key, value, other))
                if (table, column) in NOT_PROVED:
                    return
    assert tried
    assert not unnoticed
    assert (table, column) not in NOT_PROVED, "it is proved: take it off the list"


def test_nothing_is_known_ahead_of_a_run_that_has_ended(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "forged.journal"
    shutil.copyfile(whole, path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("INSERT INTO ahead VALUES (0, 9, 0, 0, '{}', 1, 0, '{}', NULL)")
    assert "ahead" in (noticed(path) or "")


def primary_key(table: str) -> list[str]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(TABLES[table])
        return [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[5]]


# -- a forger who makes the chains anew ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rechained") / "rounds.journal"
    turnwise.run(lively(seed=5, rounds_max=8), journal=path).close()
    return path


def test_chains_that_are_made_anew_are_those_that_there_were(rounds: Path, whole: Path, tmp_path: Path) -> None:
    for path in (rounds, whole):
        copy = Path(shutil.copy(path, tmp_path))
        with turnwise.open(path) as before, turnwise.open(rechained(copy)) as after:
            assert (before.head, before.execution) == (after.head, after.execution)


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE turns SET state = 'forged' WHERE failure IS NULL AND round = 3", "state"),
        ("UPDATE turns SET wake_in = 5 WHERE wake_in = 1 AND round = 3", "wake_in"),
        ("UPDATE turns SET fuel = fuel + 1 WHERE round = 3", "fuel"),
        ("UPDATE turns SET executions = 2 WHERE round = 3", "executions"),
        ("UPDATE turns SET message = 'forged' WHERE failure IS NOT NULL", "message of the failure"),
        ("UPDATE turns SET stdout = 'forged' WHERE failure IS NOT NULL", "stdout"),
        ("UPDATE turns SET stdout = 'forged' WHERE failure IS NULL", "stdout"),
        ("UPDATE turns SET extra = replace(extra, 'null', '\"{}\"') WHERE extra LIKE '%spawn%'", "spawn"),
        ("UPDATE messages SET body = 'forged' WHERE round = 3", "body"),
        ("UPDATE logs SET text = 'forged'", "log"),
        ("UPDATE logs SET level = 'error'", "log"),
        ("UPDATE records SET value = 7", "record"),
        ("UPDATE agents SET args = '{\"a\":1}' WHERE place = 1", "args"),
        ("UPDATE agents SET name = 'lively-9' WHERE place = 1", "spawned"),
        ("UPDATE agents SET args = '{\"a\":1}' WHERE born > 0", "args"),
        ("UPDATE ends SET result = '\"forged\"'", "how the run ended: result"),
        ("UPDATE ends SET reason = 'quiet'", "how the run ended: reason"),
        ("UPDATE ends SET message = 'forged'", "how the run ended: message"),
    ],
)
def test_replay_notices_what_fits_the_chains(rounds: Path, tmp_path: Path, statement: str, what: str) -> None:
    copy = changed(rounds, tmp_path, statement)
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("UPDATE rounds SET fuel = (SELECT sum(fuel) FROM turns WHERE turns.round = rounds.round)")
    found = turnwise.replay(rechained(copy), workers=1).difference
    assert found is not None
    assert what in found.what


# -- ends ------------------------------------------------------------------------------------------------------------

FINISHER = """
def turn(t):
    t.wake_in(1)
    if t.turn == 4:
        t.finish("done")
"""

FAILER = """
def turn(t):
    t.wake_in(1)
    if t.turn == 4:
        raise ValueError("no")
"""


def ended(path: Path, source: str = FINISHER, **options: object) -> Path:
    made = turnwise.World(
        name="ends", rounds_max=6, agents={"a": Agent(source, start=True, grants=Grants(finish=True))}, **options
    )  # type: ignore[arg-type]
    turnwise.run(made, journal=path).close()
    return path


def cut(path: Path, rounds: int) -> None:
    """Take the last rounds away, with all that belongs to them."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        last = connection.execute("SELECT max(round) FROM rounds").fetchone()[0] - rounds
        for table in ("rounds", "turns", "messages", "logs", "records", "stops", "effects", "waves"):
            connection.execute(f"DELETE FROM {table} WHERE round > ?", (last,))


def test_an_end_that_a_round_brought_about_cannot_be_taken_away(tmp_path: Path) -> None:
    for name, source, options in (("f", FINISHER, {}), ("s", FAILER, {"on_failure": "stop"})):
        path = ended(tmp_path / f"{name}.journal", source, **options)
        forged = changed(path, tmp_path, "DELETE FROM ends")
        found = turnwise.replay(forged, workers=1).difference
        assert found is not None
        assert found.what == "how the run ended"


def test_an_end_that_came_later_is_missed(tmp_path: Path) -> None:
    path = ended(tmp_path / "bound.journal", "def turn(t):\n    t.wake_in(1)\n")
    assert turnwise.replay(path, workers=1).missing_end is None
    forged = changed(path, tmp_path, "DELETE FROM ends")
    found = turnwise.replay(forged, workers=1)
    assert (found.difference, found.notes) == (None, ())
    assert found.missing_end is not None
    assert found.missing_end.reason == "rounds_max"
    verified = turnwise.verify(forged, workers=1)
    assert "its end is missing" in verified.notes[0]
    with turnwise.open(path) as run, turnwise.open(forged) as other:
        assert run.head != other.head
        assert (run.status, other.status) == ("rounds_max", "open")


@pytest.mark.parametrize("anew", [False, True])
def test_rounds_that_are_cut_off_before_a_forged_end(tmp_path: Path, anew: bool) -> None:
    forged = changed(ended(tmp_path / "run.journal"), tmp_path, "UPDATE ends SET round = 1, result = '7'")
    cut(forged, 3)
    if anew:
        rechained(forged)
        assert turnwise.open(forged).result == 7
    else:
        with pytest.raises(JournalError, match="how the run ended"):
            turnwise.open(forged)
    found = turnwise.replay(forged, workers=1).difference
    assert found is not None
    assert found.what == "how the run ended"
    left = changed(ended(tmp_path / "left.journal"), tmp_path, "UPDATE agents SET name = name")
    cut(left, 3)
    with pytest.raises(JournalError, match="a round that is not there"):
        turnwise.open(left)


def test_the_message_of_a_failed_run(tmp_path: Path) -> None:
    path = ended(tmp_path / "failed.journal", FAILER, on_failure="stop")
    with turnwise.open(path) as run:
        assert run.message is not None
        assert "no" in run.message
    forged = changed(path, tmp_path, "UPDATE ends SET message = 'all is well'")
    with pytest.raises(JournalError, match="how the run ended"):
        turnwise.open(forged)
    found = turnwise.replay(rechained(forged), workers=1).difference
    assert found is not None
    assert found.what == "how the run ended: message"


def test_a_journal_of_an_older_format_is_said_to_leave_its_end_out(tmp_path: Path) -> None:
    stored = Path(__file__).parents[1] / "data" / "rounds-0.1.0.journal"
    path = Path(shutil.copy(stored, tmp_path))
    with turnwise.open(path) as run:
        assert any("does not cover how the run ended" in line for line in run.unproved)
    assert any("does not cover how the run ended" in line for line in turnwise.replay(path, workers=1).unproved)
    forged = changed(path, tmp_path, "UPDATE ends SET reason = 'quiet'")
    found = turnwise.replay(forged, workers=1).difference
    assert found is not None
    assert found.what == "how the run ended: reason"


def test_the_content_of_an_older_journal_is_compared_with_its_head(tmp_path: Path) -> None:
    path = Path(shutil.copy(Path(__file__).parents[1] / "data" / "rounds-0.1.0.journal", tmp_path))
    forged = changed(path, tmp_path, "UPDATE turns SET state = 'forged' WHERE round = 3 AND failure IS NULL")
    with turnwise.open(path) as run:
        run.check()
        assert not any("content" in line for line in run.unproved)
    with turnwise.open(forged) as run, pytest.raises(JournalError, match="round 3: head"):
        run.check()


# -- stored JSON that is none ----------------------------------------------------------------------------------------

NO_JSON = ["{", "[" * 50_000, "nan", ""]


@pytest.mark.parametrize("text", NO_JSON, ids=range(len(NO_JSON)))
def test_stored_json_that_is_none_is_damage(tmp_path: Path, text: str) -> None:
    """In a journal of an older format the head covers no end, so that the text is reached at all."""
    stored = Path(shutil.copy(Path(__file__).parents[1] / "data" / "rounds-0.1.0.journal", tmp_path))
    forged = changed(stored, tmp_path, f"UPDATE ends SET result = '{text}'")
    with turnwise.open(forged) as run, pytest.raises(JournalError, match="the result is not JSON"):
        _ = run.result
    forged = changed(stored, tmp_path, f"UPDATE agents SET args = '{text}' WHERE born > 0")
    with turnwise.open(forged) as run, pytest.raises(JournalError, match=r"args of .* is not"):
        list(run.agents)
    forged = changed(stored, tmp_path, f"UPDATE writers SET versions = '{text}'")
    with pytest.raises(JournalError, match="versions of a writer"):
        turnwise.replay(forged, workers=1)
    with turnwise.open(forged) as run, pytest.raises(JournalError, match="versions of a writer"):
        _ = run.numeric_classes
    left = Path(shutil.copy(Path(__file__).parents[1] / "data" / "rounds-0.1.0-open.journal", tmp_path))
    with pytest.raises(JournalError, match="info of a writer"):
        turnwise.resume(changed(left, tmp_path, f"UPDATE writers SET info = '{text}'")).result()


@pytest.mark.parametrize("info", ["{}", "7", '{"models":7}', '{"models":{"m":{}}}', '{"models":{"m":{"path":7}}}'])
def test_a_note_of_where_models_are_that_is_none_is_damage(tmp_path: Path, info: str) -> None:
    left = Path(shutil.copy(Path(__file__).parents[1] / "data" / "rounds-0.1.0-open.journal", tmp_path))
    with pytest.raises(JournalError, match="info of a writer"):
        turnwise.resume(changed(left, tmp_path, f"UPDATE writers SET info = '{info}'")).result()


# -- forks -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fork(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fork of a run, with a change of every kind, and a message that comes from outside."""
    folder = tmp_path_factory.mktemp("fork")
    parent = Path(shutil.copy(whole, folder))
    changes = {
        "messages": {"worker-1": "from outside"},
        "drop": [2],
        "states": {"worker-1": {"said": "else"}},
        "overrides": ["agents.worker-1.args.n=7", "agents.worker.fuel=4000000000"],
        "stop": ["worker-2"],
    }
    path = folder / "fork.journal"
    with turnwise.fork(parent, 1, journal=path, workers=1, **changes) as live:  # type: ignore[arg-type]
        live.result().close()
    return path


def test_an_honest_fork_is_not_noticed(fork: Path) -> None:
    assert noticed(fork) is None
    with turnwise.open(fork) as run:
        changes = [change.what for record in run.rounds for change in record.changes]
    assert sorted(changes) == ["args", "drop", "plan", "state", "stop"]


@pytest.mark.parametrize("column", columns_of_tables()["changes"])
def test_any_change_that_was_forged_is_noticed(fork: Path, column: str) -> None:
    with closing(sqlite3.connect(fork)) as connection:
        # An answer that was to come is in `answers` if it came, and has no effect if it did not.
        proved = "what <> 'answer'" if column in ("target", "value") else "1"
        rows = connection.execute(f"SELECT {column}, round, nr FROM changes WHERE {proved}").fetchall()
    tried = 0
    for value, *key in rows:
        for other in others(value):
            forged = fork.with_name("forged.journal")
            shutil.copyfile(fork, forged)
            with closing(sqlite3.connect(forged, isolation_level=None)) as connection:
                statement = f"UPDATE changes SET {column} = ? WHERE round = ? AND nr = ?"
                try:
                    connection.execute(statement, (other, *key))
                except sqlite3.IntegrityError:
                    continue
            tried += 1
            assert noticed(forged) is not None, (key, value, other)
    assert tried


@pytest.mark.parametrize("member", ["head", "round", "agents", "messages"])
def test_a_forged_parent_is_noticed(fork: Path, member: str) -> None:
    forged = fork.with_name("forged.journal")
    for shift in (1, -1):
        shutil.copyfile(fork, forged)
        with closing(sqlite3.connect(forged, isolation_level=None)) as connection:
            text = connection.execute("SELECT value FROM meta WHERE name = 'parent'").fetchone()[0]
            values = json.loads(text)
            values[member] = "00" * 32 if member == "head" else max(0, values[member] + shift)
            connection.execute("UPDATE meta SET value = ? WHERE name = 'parent'", (json.dumps(values),))
        assert noticed(forged) is not None, (member, shift)


def test_a_round_of_the_parent_that_was_changed_is_noticed(fork: Path, tmp_path: Path) -> None:
    for path in (fork, fork.with_name("whole.journal")):
        shutil.copy(path, tmp_path)
    with closing(sqlite3.connect(tmp_path / "whole.journal", isolation_level=None)) as connection:
        connection.execute("UPDATE turns SET state = 'forged' WHERE round = 1 AND failure IS NULL")
    assert noticed(tmp_path / "fork.journal") is not None
