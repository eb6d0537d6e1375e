"""What a turn sends is stored as its messages only: a round in which the two differ is refused before it is written."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.journal.records import create, simple
from turnwise.core.records import (
    AgentRecord,
    EffectRecord,
    EndRecord,
    MessageRecord,
    RoundRecord,
    TurnRecord,
    WaveRecord,
)
from turnwise.core.turn import Failure, FailureClass, Log, Send, Spawn, TurnOutput
from turnwise.errors import InvariantError
from turnwise.journal.file.format import INTEGER_MAX, STATE_INLINE_CHARS_MAX, TEXT_INLINE_CHARS_MAX


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"body": "another"}, "not among those"),
        ({"to": "a-0"}, "not among those"),
        ({"sender": 2}, "not among those"),
        ({"round": 2}, "a wrong round"),
    ],
)
def test_a_message_that_its_turn_did_not_send(tmp_path: Path, change: dict[str, object], what: str) -> None:
    record = simple(1)
    first, *rest = record.messages
    with create(tmp_path / "run.journal") as journal:
        with pytest.raises(InvariantError, match=what):
            journal.writer.commit(replace(record, messages=(replace(first, **change), *rest)))  # type: ignore[arg-type]
        journal.writer.commit(record)
        assert list(journal.rounds.between()) == [record]


def test_messages_that_no_turn_sent_or_that_are_missing(tmp_path: Path) -> None:
    record = simple(1)
    last = record.messages[-1]
    with create(tmp_path / "run.journal") as journal:
        for messages in ((*record.messages, replace(last, seq=last.seq + 1)), record.messages[:-1], ()):
            with pytest.raises(InvariantError, match=r"no turn sent|not among"):
                journal.writer.commit(replace(record, messages=messages))
        journal.writer.commit(record)
        assert list(journal.rounds.between()) == [record]


SILENT = TurnRecord(1, 2, (), TurnOutput(""), None, (), "", 1, 1)
EFFECT = EffectRecord(0, "generate", "m", "", "", None)


def one_of_everything(extra: int) -> tuple[RoundRecord, EndRecord]:
    """A round whose texts are as long as is stored in place, and `extra` characters longer."""
    short, text, body = ("é" * (bound + extra) for bound in (STATE_INLINE_CHARS_MAX, TEXT_INLINE_CHARS_MAX, 500))
    tokens = tuple([1_000_000_000 + number for number in range(18)])  # 199 characters
    effect = EffectRecord(0, "generate", "m", text, text, (*tokens[:-1], tokens[-1] * 10 ** (1 + extra)))
    output = TurnOutput(short, (Send("a-1", body),), (Log("info", text),))
    turns = (
        TurnRecord(0, 1, (), output, None, (effect,), short, 1, 1),
        TurnRecord(1, 1, (), None, Failure(FailureClass.RAISED, short), (), short, 1, 1),
    )
    child = AgentRecord(3, "c", "a", short, short, 1, 0, ("a" * (STATE_INLINE_CHARS_MAX - 4 + extra),))
    message = MessageRecord(0, 1, 0, "a-1", body, (1,))
    wave = WaveRecord(1, "m", ((0, 0),), short)
    record = RoundRecord(1, turns, (), (message,), (child,), (), b"h" * 32, b"e" * 32, (wave,))
    return record, EndRecord("finished", 1, short, short)


LONGEST = (
    "SELECT state, stdout FROM turns WHERE place = 0",
    "SELECT message, stdout FROM turns WHERE place = 1",
    "SELECT args, state, grants FROM agents WHERE place = 3",
    "SELECT body FROM messages",
    "SELECT request, reply, tokens FROM effects",
    "SELECT text FROM logs",
    "SELECT plan FROM waves",
    "SELECT result, message FROM ends",
)


@pytest.mark.parametrize(("extra", "type_"), [(0, str), (1, int)])
def test_texts_up_to_a_bound_are_stored_in_place(tmp_path: Path, extra: int, type_: type) -> None:
    record, end = one_of_everything(extra)
    with create(tmp_path / "run.journal") as journal:
        journal.writer.commit(record, end)
        assert list(journal.rounds.between()) == [record]
        assert journal.rounds.end_record == end
    with closing(sqlite3.connect(tmp_path / "run.journal")) as database:
        stored = {select: database.execute(select).fetchall() for select in LONGEST}
    for select, rows in stored.items():
        assert {type(value) for row in rows for value in row} == {type_}, select


def test_what_is_not_there_is_null(tmp_path: Path) -> None:
    turns = (
        TurnRecord(0, 1, (), TurnOutput(""), None, (EFFECT,), "", 1, 1),
        TurnRecord(1, 1, (), None, Failure(FailureClass.RAISED, ""), (), "", 1, 1),
    )
    record = RoundRecord(1, turns, (), (), (), (), b"h" * 32, b"e" * 32)
    with create(tmp_path / "run.journal") as journal:
        journal.writer.commit(record, EndRecord("quiet", 1, None))
    with closing(sqlite3.connect(tmp_path / "run.journal")) as database:
        select = "SELECT inbox, failure, message, state, wake_in, extra, stdout FROM turns ORDER BY place"
        assert database.execute(select).fetchall() == [
            (None, None, None, "", None, None, None),
            (None, "raised", "", None, None, None, None),
        ]
        assert database.execute("SELECT tokens FROM effects").fetchall() == [(None,)]
        assert database.execute("SELECT result, message, head FROM ends").fetchall() == [(None, None, None)]
        assert database.execute("SELECT message_first, fuel, failed, effects FROM rounds").fetchall() == [
            (None, 2, 1, 1)
        ]


@pytest.mark.parametrize("outputs", [{"spawn": (Spawn("a", "b"),)}, {"stop": ("a-0",)}, {"finish": "null"}])
def test_what_few_turns_do_is_stored_together(tmp_path: Path, outputs: dict[str, Any]) -> None:
    turn = TurnRecord(0, 1, (), TurnOutput("", **outputs), None, (), "", 1, 1)
    record = RoundRecord(1, (turn,), (), (), (), (), b"h" * 32, b"e" * 32)
    with create(tmp_path / "run.journal") as journal:
        journal.writer.commit(record)
        assert list(journal.rounds.between()) == [record]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"round": 1}, "a round is committed out of order"),
        ({"round": 0}, "a round is committed out of order"),
        ({"head": b"h" * 31}, "a chain value of round 2 has a wrong length"),
        ({"execution": b"h" * 33}, "a chain value of round 2 has a wrong length"),
        ({"outcome": b"h"}, "a chain value of round 2 has a wrong length"),
        ({"state": b""}, "a chain value of round 2 has a wrong length"),
        ({"turns": (SILENT, replace(SILENT, place=0)), "messages": ()}, "turns of round 2 are out of order"),
        ({"turns": (SILENT, SILENT), "messages": ()}, "turns of round 2 are out of order"),
        ({"spawned": (AgentRecord(4, "n", "a", "{}", "", 2, 0, ()),)}, "the agent n has a wrong place or round"),
        ({"spawned": (AgentRecord(3, "n", "a", "{}", "", 1, 0, ()),)}, "the agent n has a wrong place or round"),
        ({"messages": (simple(1).messages[2],)}, "messages of round 2 are out of order"),
        ({"messages": simple(2).messages[::-1]}, "messages of round 2 are out of order"),
        ({"turns": (replace(simple(2).turns[0], output=None),)}, "has neither or both ends"),
        (
            {"turns": (replace(simple(2).turns[0], failure=Failure(FailureClass.RAISED, "no")),)},
            "has neither or both ends",
        ),
    ],
)
def test_a_round_that_does_not_follow_is_refused_and_changes_nothing(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    with create(tmp_path / "run.journal") as journal:
        journal.writer.commit(simple(1))
        child = AgentRecord(3, "n", "a", "{}", "", 2, 0, ())
        right = replace(simple(2), spawned=(child,))
        with pytest.raises(InvariantError, match=said):
            journal.writer.commit(replace(right, **change))
        journal.writer.commit(right)
        assert list(journal.rounds.between()) == [simple(1), right]


def test_more_fuel_than_a_number_holds_is_the_largest_number(tmp_path: Path) -> None:
    turns = tuple([TurnRecord(place, 1, (), TurnOutput(""), None, (), "", INTEGER_MAX, 1) for place in range(2)])
    with create(tmp_path / "run.journal") as journal:
        journal.writer.commit(RoundRecord(1, turns, (), (), (), (), b"h" * 32, b"e" * 32))
        assert journal.rounds.summary(1).fuel == INTEGER_MAX


def test_of_what_few_outputs_have_only_what_is_there_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    record = simple(1, count=4)
    outputs: list[dict[str, Any]] = [
        {},
        {"stop": ("a-1",)},
        {"finish": "null"},
        {"spawn": (Spawn("a", "n", None, "s"),)},
    ]
    turns = [
        replace(turn, output=replace(turn.output, **changes))  # type: ignore[type-var]
        for turn, changes in zip(record.turns, outputs, strict=True)
    ]
    with create(path, count=4) as journal:
        journal.writer.commit(replace(record, turns=tuple(turns)))
    with closing(sqlite3.connect(path)) as connection:
        stored = [extra for (extra,) in connection.execute("SELECT extra FROM turns ORDER BY place")]
    assert stored == [None, '{"stop":["a-1"]}', '{"finish":"null"}', '{"spawn":[["a","n",null,"s"]]}']
