"""What is committed is read back, whatever it is, by whoever may read it; and one writer at a time."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.journal.records import CODES, agents, chain, create, runs_of_rounds, simple
from tests.journal.test_crash import environment
from turnwise.core.records import AgentRecord, EndRecord, MessageRecord, RoundRecord, TurnRecord
from turnwise.core.turn import Failure, FailureClass, Log, Record, Send, TurnOutput
from turnwise.errors import EnvironmentFailure, InvariantError, JournalError
from turnwise.journal import CodeSource, Journal, RecordRow, Standing
from turnwise.journal.file import connection
from turnwise.journal.write.round_commit import RoundCommit


def exactly(value: object) -> str:
    """A text that tells 1 from 1.0 and -0.0 from 0.0, which `==` does not."""
    return repr(value)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(runs_of_rounds())
def test_what_was_committed_is_read_again_exactly(run: tuple[tuple[AgentRecord, ...], list[RoundRecord]]) -> None:
    beginning, rounds = run
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.journal"
        with Journal.create(path, plan="p", info="i", versions="v", codes=CODES, agents=beginning) as journal:
            for record in rounds:
                journal.writer.commit(record)
            assert exactly(list(journal.rounds.between())) == exactly(rounds)
        assert list(Path(folder).iterdir()) == [path]
        with Journal.open(path) as journal:
            assert exactly(list(journal.rounds.between())) == exactly(rounds)
            assert list(journal.queries.agents(0)) == list(beginning)
            assert list(journal.queries.agents()) == [
                *beginning,
                *(agent for record in rounds for agent in record.spawned),
            ]
            assert list(journal.queries.turns()) == [(record.round, turn) for record in rounds for turn in record.turns]
            assert list(journal.queries.messages()) == [m for r in rounds for m in (*r.inputs, *r.messages)]
            assert journal.rounds.head == (rounds[-1].head if rounds else None)
            assert journal.rounds.last_round == (rounds[-1].round if rounds else 0)


def test_what_it_began_with(tmp_path: Path) -> None:
    codes = {
        "aa" * 32: CodeSource("component", "n.py", (("n.py", b"x = 1\n"), ("lib/w.py", b"")), "ff" * 32),
        "bb" * 32: CodeSource("module", "t.wasm", (("t.wasm", bytes(range(256)) * 40),)),
    }
    plan = '{"name":"' + "w" * 10_000 + '"}'
    path = tmp_path / "run.journal"
    made = Journal.create(path, plan=plan, info='{"path":"w"}', versions='{"a":1}', codes=codes, agents=agents(2, "s"))
    with made as journal:
        assert journal.rounds.head is None
        assert journal.rounds.last_round == 0
        assert journal.rounds.end_record is None
    with Journal.open(path) as journal:
        assert (journal.header.plan, journal.header.info, journal.header.versions) == (plan, '{"path":"w"}', '{"a":1}')
        assert journal.header.codes == codes
        assert list(journal.queries.agents()) == list(agents(2, "s"))
        assert journal.queries.agent("a-1").place == 1
        with pytest.raises(JournalError, match="no agent 'b'"):
            journal.queries.agent("b")


def test_ten_thousand_agents_with_long_states(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    with Journal.create(path, plan="", info="", versions="", codes={}, agents=agents(10_000, "s" * 900)) as journal:
        assert [agent.place for agent in journal.queries.agents()] == list(range(10_000))
    assert path.stat().st_size < 1_000_000


@pytest.mark.skipif(sys.platform == "win32", reason="rights are not in the file's mode there")
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_only_its_owner_may_read_it_from_the_first_moment(tmp_path: Path, umask: int) -> None:
    seen: list[int] = []

    def opened(event: str, arguments: tuple[object, ...]) -> None:
        # Whatever happens next, the file has its rights as soon as SQLite is told its name.
        if watching and event == "sqlite3.connect" and path.exists():
            seen.append(stat.S_IMODE(path.stat().st_mode))

    path = tmp_path / "run.journal"
    watching = True
    sys.addaudithook(opened)
    before = os.umask(umask)
    try:
        with create(path) as journal:
            journal.writer.commit(simple(1))
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    finally:
        os.umask(before)
        watching = False
    assert seen
    assert set(seen) == {0o600}
    assert {"run.journal", "run.journal-wal"} <= modes.keys()
    assert all(mode & 0o077 == 0 for mode in modes.values())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    path.write_text("precious")
    with pytest.raises(JournalError, match="exists already"):
        create(path)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", ["-wal", "-journal", "-shm"])
def test_what_is_left_of_another_journal_of_the_name_is_not_taken_for_a_part(tmp_path: Path, ending: str) -> None:
    left = tmp_path / f"run.journal{ending}"
    left.write_bytes(b"rounds of another run")
    with pytest.raises(JournalError, match="left of another journal"):
        create(tmp_path / "run.journal")
    assert list(tmp_path.iterdir()) == [left]
    assert left.read_bytes() == b"rounds of another run"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be written") as caught:
        create(tmp_path / "nowhere" / "run.journal")
    assert "run.journal" in str(caught.value)


def test_a_creation_that_fails_leaves_nothing(tmp_path: Path) -> None:
    wrong = replace(agents(1)[0], place=7)
    with pytest.raises(InvariantError, match="wrong place"):
        Journal.create(tmp_path / "run.journal", plan="", info="", versions="", codes={}, agents=[wrong])
    assert list(tmp_path.iterdir()) == []


def test_a_creation_for_which_there_is_no_room_says_that_no_file_was_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise EnvironmentFailure("the disk is full", hint="go on with: turnwise resume")

    monkeypatch.setattr("turnwise.journal.journal.write_beginning", full)
    with pytest.raises(EnvironmentFailure) as caught:
        create(tmp_path / "run.journal")
    assert "No file was left" in str(caught.value.hint)
    assert list(tmp_path.iterdir()) == []


def test_closed_it_is_one_file_and_closes_twice(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    journal = create(path)
    journal.writer.commit(simple(1))
    assert len(list(tmp_path.iterdir())) > 1
    journal.close()
    journal.close()
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(InvariantError, match="closed"):
        journal.writer.commit(simple(2))


def test_closing_again_leaves_the_next_writer_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    first = create(path)
    first.close()
    with Journal.open(path, write=True) as journal:
        first.close()
        with pytest.raises(JournalError, match="in use"):
            Journal.open(path, write=True)
        journal.writer.commit(simple(1))


def test_a_journal_that_cannot_be_opened_for_writing_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.journal"
    create(path).close()
    opened: list[sqlite3.Connection] = []
    open_writing, open_reading = connection.open_writing, connection.open_reading

    def remembered(file: Path) -> sqlite3.Connection:
        opened.append(open_writing(file))
        return opened[-1]

    def fails_the_second_time(file: Path, parents: Sequence[Path] = ()) -> sqlite3.Connection:
        if opened:
            raise EnvironmentFailure("too many open files")
        return open_reading(file, parents)

    with monkeypatch.context() as patch:
        patch.setattr(connection, "open_writing", remembered)
        patch.setattr(connection, "open_reading", fails_the_second_time)
        with pytest.raises(EnvironmentFailure, match="too many") as caught:
            Journal.open(path, write=True)
    assert caught.value.hint is None or "No file was left" not in caught.value.hint
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        opened[0].execute("SELECT 1")
    with Journal.open(path, write=True) as journal:
        journal.writer.commit(simple(1))


def test_reading_leaves_no_trace_and_cannot_write(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    create(path).close()
    before = path.read_bytes(), path.stat().st_mtime_ns
    with Journal.open(path) as journal:
        assert list(journal.rounds.between()) == []
        assert list(tmp_path.iterdir()) == [path]
        with pytest.raises(InvariantError, match="reading only"):
            journal.writer.commit(simple(1))
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    with create(path) as journal:
        journal.writer.commit(simple(1))
        journal.writer.end(EndRecord("rounds_max", 1, None))
        assert journal.rounds.end_record == EndRecord("rounds_max", 1, None)
    with Journal.open(path, write=True) as journal:
        journal.writer.resumed(versions='{"v":2}', info='{"moved":true}')
        assert journal.rounds.end_record == EndRecord("rounds_max", 1, None)
        journal.writer.commit(simple(2))
        assert journal.rounds.end_record is None
        journal.writer.end(EndRecord("finished", 2, '"done"', "m"))
    with Journal.open(path) as journal:
        assert list(journal.rounds.between()) == [simple(1), simple(2)]
        assert journal.rounds.end_record == EndRecord("finished", 2, '"done"', "m")
        assert [(row.round, row.versions, row.info) for row in journal.header.writers()] == [
            (0, "{}", "{}"),
            (1, '{"v":2}', '{"moved":true}'),
        ]
        assert journal.header.info == '{"moved":true}'
        assert journal.header.versions == "{}"
        assert journal.check() == 2


def test_what_stays_the_same_is_stored_once(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    state, body = "s" * 5_000, "b" * 5_000
    with create(path) as journal:
        for number in (1, 2, 3):
            turns = []
            messages = []
            for place in range(3):
                turns.append(TurnRecord(place, number, (), TurnOutput(state, (Send("all", body),)), None, (), "", 1, 1))
                messages.append(MessageRecord(number * 3 + place, number, place, "all", body, (0, 1, 2)))
            record = RoundRecord(number, tuple(turns), (), tuple(messages), (), (), chain(1), chain(2))
            journal.writer.commit(record)
            if number == 2:  # also by the next process
                journal.close()
                journal = Journal.open(path, write=True)
        assert list(journal.rounds.between(3)) == [record]
        journal.close()
    with closing(sqlite3.connect(path)) as database:
        stored = database.execute("SELECT size, length(data) < 100 FROM blobs WHERE size > 100").fetchall()
    assert stored == [(5_000, 1), (5_000, 1)]


@pytest.mark.parametrize(
    "wrong",
    [
        replace(simple(2), round=1),
        replace(simple(2), head=b"short"),
        replace(simple(2), turns=simple(2).turns[::-1]),
        replace(simple(2), turns=simple(2).turns[:2]),
        replace(simple(2), messages=simple(2).messages[:2]),
        replace(simple(2), messages=simple(2).messages[::-1]),
        replace(simple(2), messages=simple(1).messages),
        replace(simple(2), messages=(replace(simple(2).messages[0], round=1), *simple(2).messages[1:])),
        replace(simple(2), spawned=agents(1)),
        replace(simple(2), turns=(replace(simple(2).turns[0], output=None), *simple(2).turns[1:])),
        replace(simple(2), turns=(replace(simple(2).turns[0], stdout="\ud800"), *simple(2).turns[1:])),
        replace(simple(2), turns=(replace(simple(2).turns[0], stdout="\ud800" * 900), *simple(2).turns[1:])),
        replace(simple(2), turns=(replace(simple(2).turns[0], fuel=2**63), *simple(2).turns[1:])),
    ],
)
def test_a_round_that_cannot_be_is_refused_and_the_right_one_still_fits(tmp_path: Path, wrong: RoundRecord) -> None:
    with create(tmp_path / "run.journal") as journal:
        journal.writer.commit(simple(1))
        with pytest.raises(InvariantError):
            journal.writer.commit(wrong)
        assert list(journal.rounds.between()) == [simple(1)]
        journal.writer.commit(simple(2))
        assert list(journal.rounds.between()) == [simple(1), simple(2)]
        assert journal.check() == 2


def test_a_batch_is_written_once_and_in_order(tmp_path: Path) -> None:
    with create(tmp_path / "run.journal") as journal:
        first, second = [journal.writer.encode(RoundCommit(simple(number))) for number in (1, 2)]
        with pytest.raises(InvariantError, match="out of order"):
            journal.writer.write(second)
        journal.writer.write(first)
        with pytest.raises(InvariantError, match="out of order"):
            journal.writer.write(first)
        journal.writer.write(second)
        assert list(journal.rounds.between()) == [simple(1), simple(2)]


def test_a_reader_sees_whole_rounds_while_the_writer_writes(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    with create(path) as journal, Journal.open(path) as reader:
        seen = []
        for number in range(1, 30):
            journal.writer.commit(simple(number))
            rounds = list(reader.rounds.between())
            seen.append(len(rounds))
            assert rounds[-1] == simple(number)
        assert seen == list(range(1, 30))
        assert reader.check() == 29


def test_a_reader_does_not_stop_the_writer_from_closing(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    with create(path) as journal:
        reader = Journal.open(path)
        journal.writer.commit(simple(1))
        assert list(reader.rounds.between()) == [simple(1)]
    assert list(reader.rounds.between()) == [simple(1)]
    reader.close()
    Journal.open(path, write=True).close()
    assert list(tmp_path.iterdir()) == [path]
    with Journal.open(path) as reader:
        assert list(reader.rounds.between()) == [simple(1)]


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    link = tmp_path / "link.journal"
    with create(path) as journal:
        link.symlink_to(path)
        for name in (path, link):
            with pytest.raises(JournalError, match=f"in use by another run \\(process {os.getpid()}\\)"):
                Journal.open(name, write=True)
        with pytest.raises(JournalError, match="in use"):
            create(path)
        journal.writer.commit(simple(1))
    with Journal.open(link, write=True) as journal:
        journal.writer.commit(simple(2))
        assert list(journal.rounds.between()) == [simple(1), simple(2)]


def failed_round(number: int) -> RoundRecord:
    """Agent 0 fails, agent 1 does much, agent 2 has no turn."""
    output = TurnOutput(
        "one", log=(Log("info", "l"), Log("error", "m" * 999)), record=(Record("p", 1.5), Record("q", "t")), wake_in=4
    )
    turns = (
        TurnRecord(0, number, (), None, Failure(FailureClass.RAISED, "Traceback\n" * 90), (), "printed", 5, 2),
        TurnRecord(1, number, (), output, None, (), "", 6, 1),
    )
    return RoundRecord(number, turns, (), (), (), (), chain(number), chain(number))


def test_questions_across_rounds(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    with create(path) as journal:
        journal.writer.commit(failed_round(1))
        journal.writer.commit(failed_round(5))
        assert [summary.round for summary in journal.rounds.summaries()] == [1, 5]
        summary = journal.rounds.summary(5)
        assert (summary.turns, summary.failed, summary.logs, summary.records, summary.fuel) == (2, 1, 2, 2, 11)
        assert list(journal.queries.records()) == [
            RecordRow(n, 1, *pair) for n in (1, 5) for pair in (("p", 1.5), ("q", "t"))
        ]
        assert list(journal.queries.records("q", 1)) == [RecordRow(1, 1, "q", "t"), RecordRow(5, 1, "q", "t")]
        assert list(journal.queries.records(place=0)) == []
        assert [(row.round, row.log.level, len(row.log.text)) for row in journal.queries.logs(1)] == [
            (1, "info", 1),
            (1, "error", 999),
            (5, "info", 1),
            (5, "error", 999),
        ]
        assert list(journal.queries.turns(0)) == [(n, failed_round(n).turns[0]) for n in (1, 5)]
        assert list(journal.queries.turns(1, 5)) == [(5, failed_round(5).turns[1])]
        assert list(journal.queries.turns(2)) == list(journal.queries.turns(2, 5)) == []
        assert list(journal.queries.turns(at_round=1)) == [(1, turn) for turn in failed_round(1).turns]
        for missing in (0, 2, 6, -1):
            with pytest.raises(JournalError, match=f"no round {missing}"):
                journal.rounds.round(missing)
        assert [round_.round for round_ in journal.rounds.between(2)] == [5]
        assert [round_.round for round_ in journal.rounds.between(1, 4)] == [1]


def test_states_and_standings_at_any_round(tmp_path: Path) -> None:
    with create(tmp_path / "run.journal") as journal:
        journal.writer.commit(simple(1))
        journal.writer.commit(failed_round(2))
        child = AgentRecord(3, "c", "k", "{}", "born", 3, 0, ("k", "a"))
        journal.writer.commit(replace(simple(3), spawned=(child,), stopped=(2,)))
        assert [journal.world.state_at(0, number)[:4] for number in (0, 1, 2, 3)] == ["", "1:0:", "1:0:", "3:0:"]
        assert [journal.world.state_at(1, number)[:4] for number in (0, 1, 2, 3)] == ["", "1:1:", "one", "3:1:"]
        assert journal.world.state_at(3, 3) == "born"
        with pytest.raises(JournalError, match="no agent with place 3 in round 2"):
            journal.world.state_at(3, 2)
        states = simple(1).turns
        assert list(journal.world.standings(2)) == [
            Standing(0, 2, states[0].output.state if states[0].output else "", 2, None),
            Standing(1, 2, "one", 2, 4),
            Standing(2, 1, states[2].output.state if states[2].output else "", 1, None),
        ]
        assert [standing.place for standing in journal.world.standings()] == [0, 1, 2, 3]
        assert list(journal.world.standings())[3] == Standing(3, 0, "born", None, None)
        assert journal.queries.stopped() == {2}
        assert journal.queries.stopped(2) == frozenset()


def test_what_is_pending_is_what_was_sent_and_not_read(tmp_path: Path) -> None:
    def turn(place: int, inbox: tuple[int, ...], *sends: Send) -> TurnRecord:
        return TurnRecord(place, 1, inbox, TurnOutput("", sends), None, (), "", 1, 1)

    def record(number: int, turns: tuple[TurnRecord, ...], *sent: MessageRecord) -> RoundRecord:
        inputs = tuple(message for message in sent if message.sender is None)
        messages = tuple(message for message in sent if message.sender is not None)
        return RoundRecord(number, turns, inputs, messages, (), (), chain(number), chain(number))

    def waiting(at_round: int | None = None) -> list[tuple[MessageRecord, tuple[int, ...]]]:
        return [(pending.message, pending.places) for pending in journal.world.pending(at_round)]

    outside = MessageRecord(0, 0, None, "all", "hello", (0, 1, 2))
    nobody = MessageRecord(1, 1, 0, "x", "dead letter", ())
    all_ = MessageRecord(2, 1, 0, "all", "hi", (1, 2))
    one = MessageRecord(3, 2, 1, "a-2", "hi", (2,))
    with create(tmp_path / "run.journal") as journal:
        journal.writer.commit(
            record(1, (turn(0, (0,), Send("x", "dead letter"), Send("all", "hi")),), outside, nobody, all_)
        )
        journal.writer.commit(record(2, (turn(1, (0, 2), Send("a-2", "hi")),), one))
        assert waiting(1) == [(outside, (1, 2)), (all_, (1, 2))]
        assert waiting() == [(outside, (2,)), (all_, (2,)), (one, (2,))]
        journal.writer.commit(replace(record(3, ()), stopped=(2,)))
        assert waiting() == []
        assert waiting(0) == []


LEAVES = """
import os, sys
from pathlib import Path
from tests.journal.records import create, simple
create(Path(sys.argv[1])).writer.commit(simple(1))
os._exit(9)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="whether a lock was left cannot be told there")
def test_what_a_killed_writer_left_is_named_and_taken_in(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    subprocess.run([sys.executable, "-c", LEAVES, str(path)], check=False, env=environment())
    left = Journal.left_beside(path)
    assert {"run.journal-lock", "run.journal-wal"} <= set(left) <= {file.name for file in tmp_path.iterdir()}
    assert Journal.tidy(path) == left
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert Journal.left_beside(path) == Journal.tidy(path) == ()
    with Journal.open(path) as journal:
        assert list(journal.rounds.between()) == [simple(1)]


def test_a_creation_that_is_refused_has_the_hint_of_its_own_error(tmp_path: Path) -> None:
    wrong = (*agents(1), *agents(1))
    with pytest.raises(InvariantError) as caught:
        Journal.create(tmp_path / "run.journal", plan="{}", info="{}", versions="{}", codes={}, agents=wrong)
    assert "No file was left" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_reader_announces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    with create(path) as journal:
        journal.announce("unix:there")
        assert Journal.announced(path) == "unix:there"
        with Journal.open(path) as reader:
            reader.announce("unix:elsewhere")
        assert Journal.announced(path) == "unix:there"
    assert Journal.announced(path) is None
