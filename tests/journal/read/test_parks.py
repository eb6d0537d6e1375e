"""Turns that wait, as a journal has them: what is told of them after each round, and what cannot be."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests.journal.records import chain, create
from turnwise.core.canonical import canonical
from turnwise.core.question import ASK, answer_reply, overdue_reply, question_of
from turnwise.core.records import (
    AnswerRecord,
    EffectRecord,
    MessageRecord,
    ParkRecord,
    QuestionRecord,
    RoundRecord,
    TurnRecord,
)
from turnwise.core.snapshot import Snapshot
from turnwise.core.state import asked_digest
from turnwise.core.turn import TurnOutput
from turnwise.errors import JournalError
from turnwise.journal import Journal
from turnwise.journal.read.decode import Row
from turnwise.journal.read.query import Query
from turnwise.journal.read.waits import Wait


def asked(text: str, **members: object) -> str:
    return canonical({"effect": "ask", "question": text, **members})


FREE = QuestionRecord(1, 0, ASK, asked("free?"))
BOUND = QuestionRecord(2, 1, ASK, asked("bound?", deadline=3, default=7), 4)
CALLED = QuestionRecord(3, 0, "call", '{"effect":"call","tool":"s.t"}')
STOPPED = QuestionRecord(4, 0, ASK, asked("nobody waits any more"))
AGAIN = QuestionRecord(5, 1, ASK, asked("again?"))
GENERATED = EffectRecord(2, "generate", "m", '{"effect":"generate"}', '{"ok":{}}')
OUTCOME = EffectRecord(0, "call", None, CALLED.request, '{"ok":{"text":"done"}}')

LETTER = MessageRecord(0, 1, None, "a-1", "hello", (1,))
FIRST = ParkRecord(1, 1, (0,), 3, (GENERATED,), (FREE, BOUND), ((3, True),), 131_072, 50, 1)
CALLS = ParkRecord(2, 1, (), 0, (), (CALLED,), ((1, False),), 9, 60, 1)
GONE = ParkRecord(3, 1, (), 0, (), (STOPPED,), ((1, False),), 0, 1, 1)
CALLS_AGAIN = ParkRecord(2, 1, (), 0, (OUTCOME,), (AGAIN,), ((1, False),), 9, 70, 2)


def turn(place: int, number: int) -> TurnRecord:
    return TurnRecord(place, number, (), TurnOutput("s"), None, (), "", 1, 1)


def round_of(number: int, *turns: TurnRecord, **members: object) -> RoundRecord:
    record = RoundRecord(number, turns, (), (), (), (), chain("h", number), chain("e", number))
    return type(record)(
        number,
        turns,
        members.get("inputs", ()),  # type: ignore[arg-type]
        (),
        (),
        members.get("stopped", ()),  # type: ignore[arg-type]
        record.head,
        record.execution,
        parks=members.get("parks", ()),  # type: ignore[arg-type]
        answers=members.get("answers", ()),  # type: ignore[arg-type]
    )


DONE = AnswerRecord(3, OUTCOME.reply)
BOUND_ANSWER = AnswerRecord(2, answer_reply("yes"))
AGAIN_ANSWER = AnswerRecord(5, answer_reply("once more"))
ROUNDS = (
    round_of(2, turn(0, 1), parks=(FIRST, CALLS, GONE), inputs=(LETTER,)),
    round_of(3, parks=(CALLS_AGAIN,), answers=(DONE, BOUND_ANSWER)),
    round_of(4, turn(0, 2), stopped=(3,)),
    round_of(6, turn(2, 1), answers=(AGAIN_ANSWER,)),
    round_of(9, turn(0, 3)),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("parks") / "run.journal"
    with create(found, count=4) as journal:
        for record in ROUNDS:
            journal.writer.commit(record)
    return found


def changed(path: Path, folder: Path, *statements: str) -> Path:
    """Change a copy of a journal."""
    copied = folder / "changed.journal"
    copied.write_bytes(path.read_bytes())
    with closing(sqlite3.connect(copied)) as connection, connection:
        for statement in statements:
            connection.execute(statement)
    return copied


def test_rounds_are_read_with_what_waits_in_them(path: Path) -> None:
    with Journal.open(path) as journal:
        for record in ROUNDS:
            read = journal.rounds.round(record.round)
            assert (read.parks, read.answers) == (record.parks, record.answers)


def test_turns_that_wait_are_found_by_round_and_place(path: Path) -> None:
    with Journal.open(path) as journal:
        parks = journal.rounds.parks
        assert parks.places(1, 9) == {(2, 1), (2, 2), (2, 3), (3, 2)}
        assert parks.places(3, 3) == {(3, 2)}
        assert parks.between(1, 9) == {2: (FIRST, CALLS, GONE), 3: (CALLS_AGAIN,)}
        assert parks.between(2, 2) == {2: (FIRST, CALLS, GONE)}
        assert parks.between(1, 9, 2) == {2: (CALLS,), 3: (CALLS_AGAIN,)}
        assert parks.between(4, 9) == {}
        assert list(parks.all_parks()) == [(2, FIRST), (2, CALLS), (2, GONE), (3, CALLS_AGAIN)]
        assert list(parks.all_parks(2)) == [(2, CALLS), (3, CALLS_AGAIN)]
        assert parks.counts() == (4, 5, 3)


def test_the_parts_of_a_turn_are_those_since_it_was_begun(path: Path) -> None:
    with Journal.open(path) as journal:
        parks = journal.rounds.parks
        assert parks.parts(2, 1, 6) == [(2, CALLS), (3, CALLS_AGAIN)]
        assert parks.parts(2, 1, 3) == [(2, CALLS)]
        assert parks.parts(2, 1, 2) == []
        assert parks.parts(2, 2, 9) == []
        assert [parks.began(2, 1, round_) for round_ in (2, 3, 6)] == [2, 2, 2]
        assert parks.began(0, 2, 4) == 4


def test_a_turn_that_was_begun_again_has_no_earlier_parts(tmp_path: Path) -> None:
    anew = ParkRecord(1, 1, (), 0, (), (QuestionRecord(6, 0, ASK, asked("anew?")),), ((1, False),), 0, 1, 1)
    path = tmp_path / "run.journal"
    with create(path, count=4) as journal:
        for record in (ROUNDS[0], round_of(5, parks=(anew,))):
            journal.writer.commit(record)
        assert journal.rounds.parks.parts(1, 1, 9) == [(5, anew)]
        assert journal.rounds.parks.began(1, 1, 9) == 5


def test_what_is_open_is_asked_neither_answered_nor_overdue_and_somebody_waits_for_it(path: Path) -> None:
    with Journal.open(path) as journal:
        parks = journal.rounds.parks
        assert parks.open(1) == []
        # Answers that came later count too: the rounds behind are committed.
        assert parks.open(2) == [(2, 1, FREE), (2, 3, STOPPED)]
        assert parks.open(3) == [(2, 1, FREE), (2, 3, STOPPED)]
        assert parks.open(4) == [(2, 1, FREE)]
        assert parks.open(9) == [(2, 1, FREE)]


@pytest.mark.parametrize(
    ("statements", "last", "numbers"),
    [
        (["DELETE FROM answers WHERE question = 2"], 3, [1, 2, 4]),
        (["DELETE FROM answers WHERE question = 2"], 4, [1]),
        (["DELETE FROM answers WHERE question = 3"], 2, [1, 3, 4]),
        (["DELETE FROM answers"], 3, [1, 2, 4, 5]),
        (["DELETE FROM answers"], 6, [1]),
        (["INSERT INTO changes VALUES (5, 0, 'stop', 1, NULL)"], 4, [1]),
        (["INSERT INTO changes VALUES (5, 0, 'stop', 1, NULL)"], 5, []),
        (["INSERT INTO changes VALUES (5, 0, 'args', 1, '{}')"], 5, [1]),
        (["DELETE FROM stops"], 9, [1, 4]),
    ],
)
def test_what_is_open_follows_from_what_has_come(
    path: Path, tmp_path: Path, statements: list[str], last: int, numbers: list[int]
) -> None:
    with Journal.open(changed(path, tmp_path, *statements)) as journal:
        assert [question.id for _, _, question in journal.rounds.parks.open(last)] == numbers


@pytest.mark.parametrize("turns", [1, 40])
def test_however_many_questions_were_answered_no_more_statements_look_for_the_open_ones(
    turns: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    rows = Query.rows

    def counted(self: Query, sql: str, *parameters: object) -> list[Row]:
        statements.append(sql)
        return rows(self, sql, *parameters)

    with create(tmp_path / "run.journal", count=4) as journal:
        for number in range(1, turns + 1):
            ask = QuestionRecord(number, 0, ASK, asked("?"))
            park = ParkRecord(number % 3, 1, (), 0, (), (ask,), ((1, False),), 0, 1, 1)
            answers = (AnswerRecord(number - 1, answer_reply("yes")),) if number > 1 else ()
            journal.writer.commit(round_of(number, parks=(park,), answers=answers))
        parks = journal.rounds.parks
        assert [question.id for _, _, question in parks.open(turns)] == [turns]
        monkeypatch.setattr(Query, "rows", counted)
        parks.open(turns)
        assert len(statements) == 5, "the questions, the answers, and three of the turn that waits"


def test_questions_to_people_are_shown_with_agent_and_digest(path: Path, tmp_path: Path) -> None:
    with Journal.open(changed(path, tmp_path, "DELETE FROM answers")) as journal:
        free, bound, stopped, again = journal.rounds.parks.asked(3)
        assert (free.id, free.agent, free.text, free.deadline) == (1, "a-1", "free?", None)
        assert (bound.id, bound.deadline, bound.question.default) == (2, 4, "7")
        assert (stopped.agent, again.agent) == ("a-3", "a-2")
        assert free.asked == asked_digest("a-1", 1, FREE)
        assert [entry.id for entry in journal.rounds.parks.asked(2)] == [1, 2, 4]  # a call asks nobody


def test_questions_and_answers_are_found_by_number(path: Path) -> None:
    with Journal.open(path) as journal:
        parks = journal.rounds.parks
        assert parks.question(2) == (2, 1, BOUND)
        assert parks.question(6) is None
        assert parks.answer_to(2) == (3, BOUND_ANSWER)
        assert parks.answer_to(1) is None
        assert parks.answers(1, 9) == {3: (DONE, BOUND_ANSWER), 6: (AGAIN_ANSWER,)}
        assert parks.answers(4, 6) == {6: (AGAIN_ANSWER,)}
        assert parks.first_answers() == {3: (3, 0), 2: (3, 1), 5: (6, 0)}
        assert parks.answer_at(3, 1) == BOUND_ANSWER
        with pytest.raises(JournalError, match="answer 2 of round 3 is missing"):
            parks.answer_at(3, 2)
        questions = [(2, 1, FREE), (2, 1, BOUND), (2, 2, CALLED), (2, 3, STOPPED), (3, 2, AGAIN)]
        assert list(parks.all_questions()) == questions
        assert list(parks.all_answers()) == [(3, DONE), (3, BOUND_ANSWER), (6, AGAIN_ANSWER)]


def test_of_two_answers_the_first_counts(path: Path, tmp_path: Path) -> None:
    again = "INSERT INTO answers SELECT 9, 0, question, reply FROM answers WHERE question = 2 AND round = 3"
    before = "INSERT INTO answers SELECT 3, 2, question, reply FROM answers WHERE question = 2 AND round = 3"
    with Journal.open(changed(path, tmp_path, again, before)) as journal:
        assert journal.rounds.parks.first_answers()[2] == (3, 1)
        found = journal.rounds.parks.answer_to(2)
        assert found is not None
        assert found[0] == 3


def test_a_turn_that_went_on_has_what_was_answered_and_defaults(path: Path, tmp_path: Path) -> None:
    default = overdue_reply(question_of(BOUND.request))
    with Journal.open(path) as journal:
        parks = journal.rounds.parks
        first = parks.first_answers() | {1: (6, 0)}
        assert parks.replies(FIRST, first) == [(FREE, AGAIN_ANSWER.reply), (BOUND, BOUND_ANSWER.reply)]
        assert parks.replies(FIRST, {1: (3, 0)}) == [(FREE, DONE.reply), (BOUND, default)]


def test_a_snapshot_has_all_that_became_of_turns_that_wait(path: Path) -> None:
    def snapshot(round_: int, *waiting: tuple[int, int]) -> Snapshot:
        return Snapshot(round_, 0, (), (), (), (), (), 6, waiting)

    with Journal.open(path) as journal:
        parks = journal.rounds.parks
        assert parks.of_snapshot(snapshot(4)) == []
        assert parks.of_snapshot(snapshot(2, (1, 2), (2, 2))) == [(2, FIRST), (2, CALLS)]
        both = [(2, FIRST), (2, CALLS), (3, DONE), (3, BOUND_ANSWER), (3, CALLS_AGAIN)]
        assert parks.of_snapshot(snapshot(4, (1, 2), (2, 2))) == both
        assert parks.of_snapshot(snapshot(4, (1, 2))) == [(2, FIRST), (3, BOUND_ANSWER)]
        assert parks.of_snapshot(snapshot(4, (2, 3))) == [(3, CALLS_AGAIN)]


FOREVER, CALL, AFTER, UNTIL_STOPPED = (
    Wait(1, 2, None, True),
    Wait(2, 2, 3, False),  # for a tool
    Wait(2, 3, 6, True),
    Wait(3, 2, 4, True),
)


@pytest.mark.parametrize(
    ("first", "last", "places", "most", "found"),
    [
        (1, 9, range(4), 9, ([FOREVER, CALL, AFTER, UNTIL_STOPPED], 4)),
        (1, 9, range(4), 2, ([FOREVER, CALL], 4)),
        (1, 9, range(2, 3), 9, ([CALL, AFTER], 2)),
        (1, 9, [1, 3], 9, ([FOREVER, UNTIL_STOPPED], 2)),
        (1, 2, range(4), 9, ([FOREVER, CALL, UNTIL_STOPPED], 3)),
        (4, 9, range(4), 9, ([FOREVER, AFTER, UNTIL_STOPPED], 3)),
        (5, 9, range(4), 9, ([FOREVER, AFTER], 2)),
        (1, 1, range(4), 9, ([], 0)),
        (1, 9, [], 9, ([], 0)),
    ],
)
def test_waits_are_found_by_rounds_and_places(
    path: Path, first: int, last: int, places: Sequence[int], most: int, found: tuple[list[Wait], int]
) -> None:
    with Journal.open(path) as journal:
        assert journal.rounds.parks.waits(first, last, places, most) == found


@pytest.mark.parametrize(
    ("changes", "until"), [([], None), (["INSERT INTO changes VALUES (4, 0, 'args', 0, '{}')"], 9)]
)
def test_a_wait_of_a_turn_that_may_have_been_begun_anew_ends_with_the_next(
    path: Path, tmp_path: Path, changes: list[str], until: int | None
) -> None:
    moved = "UPDATE turns SET place = 1 WHERE round = 9"
    with Journal.open(changed(path, tmp_path, moved, *changes)) as journal:
        found, _ = journal.rounds.parks.waits(1, 9, [1, 2], 9)
        assert found == [Wait(1, 2, until, True), CALL, AFTER]


def test_a_journal_without_the_tables_has_nothing_that_waits() -> None:
    with Journal.open(Path(__file__).parents[1] / "formats" / "format-2.journal") as journal:
        parks = journal.rounds.parks
        assert parks.places(1, 9) == set()
        assert (parks.between(1, 9), parks.parts(2, 1, 9), parks.began(2, 1, 9)) == ({}, [], 9)
        assert (parks.open(9), parks.asked(9), parks.answers(1, 9), parks.first_answers()) == ([], [], {}, {})
        assert (parks.question(1), parks.answer_to(1)) == (None, None)
        assert [list(found) for found in (parks.all_questions(), parks.all_answers(), parks.all_parks())] == [[]] * 3
        assert (parks.counts(), parks.waits(1, 9, [1], 5)) == ((0, 0, 0), ([], 0))


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM questions WHERE id = 3", "there are no questions of the waiting turn of place 2 in round 2"),
        ("UPDATE questions SET place = 0 WHERE id = 3", "there are no questions"),
        ("INSERT INTO questions SELECT 9, 2, 0, nr, kind, request, deadline FROM questions WHERE id = 3", "without"),
        ("UPDATE parks SET calls = '7'", "are not pairs"),
        ("UPDATE parks SET calls = '[[1]]'", "are not pairs"),
        ("UPDATE parks SET calls = '[[1,false,2]]'", "are not pairs"),
        ("UPDATE parks SET calls = '[[1,0]]'", "are not pairs"),
        ("UPDATE parks SET calls = '[[0,false]]'", "are not pairs"),
        ("UPDATE parks SET calls = '[[true,false]]'", "are not pairs"),
        ("UPDATE parks SET calls = '[[1000001,false]]'", "are not pairs"),
        ('UPDATE parks SET calls = \'[{"a":1,"b":2}]\'', "are not pairs"),
        ("UPDATE parks SET spent = 'x'", "spent of the waiting turn of place 1 in round 2"),
        ("UPDATE parks SET fuel = 'x'", "fuel of the waiting turn of place 1 in round 2"),
        ("UPDATE parks SET executions = 'x'", "executions of the waiting turn of place 1 in round 2"),
        ("UPDATE parks SET backlog = 'x'", "backlog of the waiting turn of place 1 in round 2"),
        ("UPDATE questions SET deadline = 'x'", "deadline of question 1"),
        ("UPDATE questions SET kind = x'00'", "kind of question 1"),
    ],
)
def test_what_cannot_be_a_waiting_turn_is_damage(path: Path, tmp_path: Path, statement: str, said: str) -> None:
    with Journal.open(changed(path, tmp_path, statement)) as journal, pytest.raises(JournalError, match=said):
        journal.rounds.parks.between(2, 2)


def test_as_many_effects_as_a_call_can_have_are_read(path: Path, tmp_path: Path) -> None:
    statement = "UPDATE parks SET calls = '[[1000000,false]]' WHERE place = 2"
    with Journal.open(changed(path, tmp_path, statement)) as journal:
        assert journal.rounds.parks.between(2, 2, 2)[2][0].calls == ((1_000_000, False),)


def test_a_question_that_is_none_is_damage(path: Path, tmp_path: Path) -> None:
    statement = "UPDATE questions SET request = '{}' WHERE id = 1"
    with (
        Journal.open(changed(path, tmp_path, statement)) as journal,
        pytest.raises(JournalError, match="question 1 is none: 'question' must be a text"),
    ):
        journal.rounds.parks.asked(4)


@pytest.mark.parametrize("statement", ["DELETE FROM parks WHERE place = 1", "DELETE FROM agents WHERE place = 1"])
def test_somebody_waits_for_each_question(path: Path, tmp_path: Path, statement: str) -> None:
    with (
        Journal.open(changed(path, tmp_path, statement)) as journal,
        pytest.raises(JournalError, match="nobody waits for question 1"),
    ):
        journal.rounds.parks.asked_digest(2, 1, FREE)
