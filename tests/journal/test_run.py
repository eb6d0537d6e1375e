"""A journal as its reader sees it, and as flat tables: names for places, and the counts of what can be iterated."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.core.worlds import kind, plan
from tests.journal.file.test_lineage import fork
from tests.journal.file.test_lineage import run as parent_run
from tests.journal.read.test_chains import played
from tests.journal.records import CODES, agents, chain, create, simple
from turnwise.core.canonical import canonical
from turnwise.core.head import genesis
from turnwise.core.plan_json import plan_to_json
from turnwise.core.records import (
    AgentRecord,
    EffectRecord,
    EndRecord,
    MessageRecord,
    RoundRecord,
    TurnRecord,
    WaveRecord,
)
from turnwise.core.turn import Failure, FailureClass, Log, Record, Send, Spawn, TurnOutput
from turnwise.errors import JournalError, UsageError
from turnwise.journal import Journal
from turnwise.journal.file.times import RoundTimes, Span
from turnwise.journal.run import Run
from turnwise.journal.run_rows import Message, RecordedValue, RoundTiming, RunAgent, Turn
from turnwise.journal.tables import DOUBLE_EXACT_MAX, TABLES, markdown, table

WORLD = plan([kind("a")], ["a-0:a", "a-1:a"], name="w", seed=5)
OUTPUT = TurnOutput(
    "s",
    (Send("all", "hello"),),
    (Log("info", "line"),),
    (Record("x", 1.5), Record("y", "t"), Record("z", 2**53), Record("z", 2**53 + 1), Record("z", -(2**53) - 1)),
    2,
    (Spawn("a", "child", None, "born"), Spawn("a", "other", "{}", None)),
    ("a-1", "child"),
    '{"a":1}',
)
EFFECT = EffectRecord(0, "generate", "m", "{}", '{"ok":1}', (5, 6))
TURNS = (
    TurnRecord(0, 1, (0,), OUTPUT, None, (EFFECT,), "out", 7, 2),
    TurnRecord(1, 1, (), None, Failure(FailureClass.RAISED, "why"), (), "", 8, 1),
)
CHILD = AgentRecord(2, "child", "a", '{"n":1}', "born", 3, 0, ("a",))
GRANDCHILD = AgentRecord(3, "grandchild", "a", "{}", "", 5, 2, ("a",))
MAIL = MessageRecord(0, 2, None, "a-0", "begin", (0,))
SENT = MessageRecord(1, 3, 0, "all", "hello", (0, 1))
FIRST = RoundRecord(
    3,
    TURNS,
    (MAIL,),
    (SENT,),
    (CHILD,),
    (1,),
    chain("h3"),
    chain("e3"),
    (WaveRecord(1, "m", ((0, 0),), "p"),),
    chain("o"),
)
SECOND = RoundRecord(
    5,
    (TurnRecord(0, 2, (1,), TurnOutput("later", wake_in=1), None, (), "", 9, 1),),
    (),
    (),
    (GRANDCHILD,),
    (),
    chain("h5"),
    chain("e5"),
    (),
    chain("p"),
)
END = EndRecord("finished", 5, '{"a":1}', "said", chain("end"))
TIMES = RoundTimes(3, 1_000, 50, {1: Span(3, 4), 0: Span(1, 2)}, {(0, 0): Span(5, 6)}, {1: Span(7, 8)})


def versions(numeric_class: str) -> str:
    return canonical({"models": {"m": {"numeric": {"numeric_class": numeric_class}}, "tensors": {}}})


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    path = tmp_path / "run.journal"
    text = plan_to_json(WORLD)
    with Journal.create(
        path, plan=text, info="{}", versions=versions("batch-invariant"), codes=CODES, agents=agents(2)
    ) as journal:
        yield journal


@pytest.fixture
def whole(journal: Journal) -> Journal:
    journal.writer.commit(FIRST, times=TIMES)
    journal.writer.resumed(versions=versions("plan-bound"), info='{"later":1}')
    journal.writer.commit(SECOND, END)
    return journal


def test_a_run_is_shown_with_names(whole: Journal) -> None:
    run = Run(whole)
    assert list(run.agents) == [
        RunAgent("a-0", "a", 0, {}, 0, None),
        RunAgent("a-1", "a", 1, {}, 0, None),
        RunAgent("child", "a", 2, {"n": 1}, 3, "a-0"),
        RunAgent("grandchild", "a", 3, {}, 5, "child"),
    ]
    assert list(run.rounds) == [FIRST, SECOND]
    assert list(run.messages) == [
        Message(0, 2, "outside", "a-0", "begin", ("a-0",), None),
        Message(1, 3, "a-0", "all", "hello", ("a-0", "a-1"), None),
    ]
    first = Turn(3, "a-0", 1, (0,), OUTPUT, None, (EFFECT,), "out", 7)
    failed = Turn(3, "a-1", 1, (), None, TURNS[1].failure, (), "", 8)
    later = Turn(5, "a-0", 2, (1,), SECOND.turns[0].output, None, (), "", 9)
    assert list(run.turns) == [first, failed, later] == list(run.turns)
    assert list(run.failures) == [failed]
    assert [run.turn(3, "a-0"), run.turn(3, "a-1"), run.turn(5, "a-0"), run.turn(5, "a-1")] == [
        first,
        failed,
        later,
        None,
    ]
    assert list(run.records) == [
        RecordedValue(3, "a-0", name, value)
        for name, value in zip("xyzzz", [1.5, "t", 2**53, 2**53 + 1, -(2**53) - 1], strict=True)
    ]
    lengths = [len(rows) for rows in (run.agents, run.rounds, run.messages, run.turns, run.failures, run.records)]
    assert lengths == [4, 2, 2, 3, 1, 5]
    assert run.waves(3) == FIRST.waves
    assert run.waves(5) == ()


def test_times_are_shown_with_names(whole: Journal) -> None:
    (timing,) = Run(whole).timings
    assert len(Run(whole).timings) == 1
    assert isinstance(timing, RoundTiming)
    assert (timing.round, timing.started_us, timing.duration_us) == (3, 1_000, 50)
    assert timing.turns == {"a-0": Span(1, 2), "a-1": Span(3, 4)}
    assert timing.effects == {("a-0", 0): Span(5, 6)}
    assert timing.waves == {1: Span(7, 8)}
    assert timing.commit is not None


def test_the_time_of_all_rounds_that_have_times(journal: Journal) -> None:
    assert journal.timings.duration_us() is None
    journal.writer.commit(FIRST, times=TIMES)
    journal.writer.commit(SECOND, times=replace(TIMES, round=5, started_us=2_000, turns={}, effects={}, waves={}))
    journal.writer.keep_times()
    assert journal.timings.duration_us() == 1_050
    assert journal.timings.round(3) is not None
    assert journal.timings.round(4) is None


def test_what_a_run_is(whole: Journal) -> None:
    with Run(whole) as run:
        assert (run.world_name, run.seed, run.status, run.last_round) == ("w", 5, "finished", 5)
        assert (run.result, run.message, run.head, run.execution) == (
            {"a": 1},
            "said",
            chain("end").hex(),
            chain("e5").hex(),
        )
        assert (run.plan, run.parent, run.path, run.versions) == (WORLD, None, whole.path, versions("batch-invariant"))
        assert repr(run) == f"<Run of 'w': finished after round 5, head {chain('end').hex()[:12]}>"
        assert [run.state("a-0", number) for number in (0, 3, 4, 5)] == ["", "s", "s", "later"]
        assert run.state("a-0") == "later"
        with pytest.raises(JournalError, match="there is no agent 'nobody'"):
            run.state("nobody")
        with pytest.raises(JournalError, match="there is no agent 'nobody'"):
            run.turn(3, "nobody")


def test_a_run_that_has_not_begun(journal: Journal) -> None:
    run = Run(journal)
    assert (run.status, run.result, run.message, run.execution, run.last_round) == ("open", None, None, None, 0)
    assert run.head == genesis(WORLD).hex()
    assert [len(rows) for rows in (run.rounds, run.turns, run.messages, run.records, run.failures, run.timings)] == [
        0
    ] * 6
    assert len(run.agents) == 2
    journal.writer.commit(FIRST)
    assert run.head == FIRST.head.hex()
    assert run.execution == FIRST.execution.hex()
    journal.writer.end(EndRecord("quiet", 3, None))
    assert (run.status, run.result, run.message, run.head) == ("quiet", None, None, FIRST.head.hex())


def test_the_weakest_numeric_class_of_those_who_executed_it_counts(whole: Journal) -> None:
    assert Run(whole).numeric_classes == {"m": "plan-bound"}
    for later, weakest in (("none", "none"), ("batch-invariant", "none")):
        whole.writer.resumed(versions=versions(later), info="{}")
        assert Run(whole).numeric_classes == {"m": weakest}
        assert Run(whole).promise == weakest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "1",
        '{"models":[]}',
        '{"models":{"m":1}}',
        '{"models":{"m":{"numeric":{}}}}',
        '{"models":{"m":{"numeric":1}}}',
    ],
)
def test_versions_that_no_run_notes_are_damage(whole: Journal, text: str) -> None:
    whole.writer.resumed(versions=text, info="{}")
    with pytest.raises(JournalError, match="versions of a writer are not what a run notes"):
        _ = Run(whole).promise


def test_what_is_not_proved_is_said(whole: Journal) -> None:
    assert Run(whole).unproved == (
        "the content of rounds was not compared with the head",
        "turns were not executed again",
    )


def test_what_was_checked_is_not_said_to_be_unproved(tmp_path: Path) -> None:
    played(tmp_path / "run.journal")
    with Run.open(tmp_path / "run.journal") as run:
        run.check()
        assert run.unproved == ("turns were not executed again",)


def test_a_fork_names_its_parent(tmp_path: Path) -> None:
    path = fork(parent_run(tmp_path / "parent.journal"), 2, tmp_path / "fork.journal", 3)
    with Journal.open(path) as journal:
        parent = Run(journal).parent
        assert parent is not None
        assert (parent.path, parent.round) == ("parent.journal", 2)


def test_a_result_that_is_no_json_is_damage(journal: Journal) -> None:
    journal.writer.commit(FIRST)
    journal.writer.end(replace(END, round=3, result="{"))
    with pytest.raises(JournalError, match="the result is not JSON"):
        _ = Run(journal).result


def test_the_header_tells_the_latest_and_the_first_writer(whole: Journal) -> None:
    assert whole.header.info == '{"later":1}'
    assert whole.header.versions == versions("batch-invariant")
    assert [writer.round for writer in whole.header.writers()] == [0, 3]
    assert whole.header.plan_at() == whole.header.plan_at(0) == whole.header.plan_at(9) == WORLD
    assert whole.header.plans() == [(1, WORLD)]


# -- flat tables -------------------------------------------------------------------------------------------------


def rows(journal: Journal, name: str) -> list[dict[str, Any]]:
    found = table(name)
    names = [column.name for column in found.columns]
    return [dict(zip(names, row, strict=True)) for row in found.rows(journal)]


def test_each_table_has_its_rows(whole: Journal) -> None:
    assert rows(whole, "agents")[2:] == [
        {"place": 2, "name": "child", "kind": "a", "args": '{"n":1}', "state": "born", "born": 3, "parent": "a-0"},
        {"place": 3, "name": "grandchild", "kind": "a", "args": "{}", "state": "", "born": 5, "parent": "child"},
    ]
    first, second = rows(whole, "rounds")
    digests = {"head": chain("h3").hex(), "execution": chain("e3").hex(), "outcome": chain("o").hex()}
    counts = {"turns": 2, "failed": 1, "effects": 1, "inputs": 1, "messages": 1, "logs": 1, "records": 5}
    assert first == {"round": 3, **digests, **counts, "spawned": 1, "stopped": 1, "agents": 3, "fuel": 15}
    assert (second["round"], second["agents"], second["stopped"]) == (5, 4, 0)
    done, failed, later = rows(whole, "turns")
    assert done == {
        "round": 3,
        "place": 0,
        "agent": "a-0",
        "turn": 1,
        "inbox": "[0]",
        "failure": None,
        "message": None,
        "state": "s",
        "wake_in": 2,
        "spawn": '[["a","child","","born"],["a","other","{}",""]]',
        "stop": '["a-1","child"]',
        "finish": '{"a":1}',
        "stdout": "out",
        "fuel": 7,
        "executions": 2,
    }
    assert [
        failed[name] for name in ("agent", "failure", "message", "state", "wake_in", "spawn", "stop", "finish")
    ] == [
        "a-1",
        "raised",
        "why",
        *[None] * 5,
    ]
    assert [later[name] for name in ("state", "spawn", "stop", "finish")] == ["later", None, None, None]
    at = {"round": 3, "place": 0, "agent": "a-0"}
    asked = {"nr": 0, "kind": "generate", "model": "m", "request": "{}", "reply": '{"ok":1}', "tokens": "[5,6]"}
    assert rows(whole, "effects") == [at | asked]
    assert [tuple(row.values()) for row in rows(whole, "messages")] == [
        (0, 2, "outside", "a-0", "begin", '["a-0"]', None),
        (1, 3, "a-0", "all", "hello", '["a-0","a-1"]', None),
    ]
    assert rows(whole, "logs") == [at | {"level": "info", "text": "line"}]
    assert [(row["name"], row["value"], row["text"]) for row in rows(whole, "records")] == [
        ("x", 1.5, None),
        ("y", None, "t"),
        ("z", float(DOUBLE_EXACT_MAX), None),
        ("z", None, str(2**53 + 1)),
        ("z", None, str(-(2**53) - 1)),
    ]
    assert rows(whole, "waves") == [{"round": 3, "wave": 1, "model": "m", "requests": "[[0,0]]", "plan": "p"}]
    (timing,) = rows(whole, "timings")
    assert [timing[name] for name in ("round", "started_us", "duration_us")] == [3, 1_000, 50]
    assert json.dumps(timing["commit_us"]) != "null"
    assert [tuple(row.values()) for row in rows(whole, "turn_timings")] == [(3, 0, "a-0", 1, 2), (3, 1, "a-1", 3, 4)]
    assert [tuple(row.values()) for row in rows(whole, "effect_timings")] == [(3, 0, "a-0", 0, 5, 6)]


def test_a_table_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(UsageError, match="there is no table 'other'") as caught:
        table("other")
    assert all(name in str(caught.value.hint) for name in TABLES)


def test_every_column_stands_on_the_page() -> None:
    text = markdown()
    for one in TABLES.values():
        part = text.partition(f"`{one.name}`, a row for {one.doc}:")[2].partition("\n\n`")[0]
        assert [line.split("`")[1] for line in part.splitlines() if line.startswith("| `")] == [
            c.name for c in one.columns
        ]


def test_tables_are_data_frames_of_pandas(whole: Journal) -> None:
    pandas = pytest.importorskip("pandas")
    frames = Run(whole).to_pandas()
    assert set(frames) == set(TABLES)
    records = Run(whole).to_pandas("records")
    assert isinstance(records, pandas.DataFrame)
    assert [str(kind) for kind in records.dtypes] == ["Int64", "Int64", "string", "string", "Float64", "string"]
    assert records["value"].isna().tolist() == [False, True, False, True, True]


@pytest.mark.skipif(sys.platform != "linux", reason="looks for descriptors in /proc")
def test_a_journal_that_is_refused_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    with create(path) as journal:
        journal.writer.commit(simple(1))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE meta SET value = '{}' WHERE name = 'plan'")
    with pytest.raises(JournalError) as caught:
        Run.open(path)
    assert caught.traceback, "which keeps whatever it reaches"
    opened = {str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()}
    assert str(path) not in opened


def test_turns_that_wait_their_questions_and_answers_are_counted() -> None:
    with Journal.open(Path(__file__).parent / "formats" / "format-3.journal") as journal:
        run = Run(journal)
        assert (len(run.parks), len(run.asked), len(run.answers)) == (1, 2, 1)
        assert [[question.id for question in run.asked], [answer.question for answer in run.answers]] == [[1, 2], [2]]
