"""Questions about many rounds, a page at a time, of agents, rounds, and texts that were taken out."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.journal.file.test_lineage import LONG, round_
from tests.journal.recorded import recorded_run
from tests.journal.records import create, simple
from turnwise.core.canonical import canonical
from turnwise.core.records import EffectRecord, RoundRecord
from turnwise.core.turn import Log, Record
from turnwise.core.withheld import Withheld
from turnwise.errors import JournalError
from turnwise.journal import Journal
from turnwise.journal.read import queries, rounds
from turnwise.journal.read.rows import Totals

NUMBERS = [1, 2, 4, 7, 8]


def record_of(index: int) -> RoundRecord:
    """The round of that index; each other one has a log and two recorded values of agent 1."""
    number = NUMBERS[index]
    record = simple(index + 1)
    turns = list(record.turns)
    if index % 2:
        output = turns[1].output
        assert output is not None
        noted = replace(output, log=(Log("info", str(number)),), record=(Record("x", number), Record("y", "t")))
        turns[1] = replace(turns[1], output=noted)
    messages = tuple([replace(message, round=number) for message in record.messages])
    return replace(record, round=number, turns=tuple(turns), messages=messages)


@pytest.fixture(params=[1, 2, 1_000])
def journal(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    """Rounds with gaps, read so many rows at once."""
    monkeypatch.setattr(queries, "PAGE_ROWS", request.param)
    monkeypatch.setattr(rounds, "PAGE_ROWS", request.param)
    with create(tmp_path / "run.journal") as journal:
        for index in range(len(NUMBERS)):
            journal.writer.commit(record_of(index))
        yield journal


def test_rounds_and_turns_are_read_in_order_whatever_the_page(journal: Journal) -> None:
    records = [record_of(index) for index in range(len(NUMBERS))]
    assert list(journal.rounds.between()) == records
    assert list(journal.rounds.between(2, 7)) == records[1:4]
    assert list(journal.rounds.between(3, 6)) == records[2:3]
    assert list(journal.rounds.between(9)) == []
    assert [summary.round for summary in journal.rounds.summaries(4)] == [4, 7, 8]
    assert list(journal.queries.turns(1)) == [(record.round, record.turns[1]) for record in records]
    assert list(journal.queries.turns()) == [(record.round, turn) for record in records for turn in record.turns]
    assert list(journal.queries.turns(2, 7)) == [(7, records[3].turns[2])]
    assert list(journal.queries.turns(3)) == []
    assert list(journal.queries.messages()) == [message for record in records for message in record.messages]
    assert list(journal.queries.messages(4)) == [m for record in records for m in record.messages if m.seq >= 4]
    assert [agent.place for agent in journal.queries.agents()] == [0, 1, 2]
    assert journal.queries.agent("a-2").place == 2
    assert journal.queries.message(5) == records[1].messages[2]
    with pytest.raises(JournalError, match="message 15 is missing"):
        journal.queries.message(15)
    assert journal.rounds.last_round == 8


def test_the_turn_before_a_round(journal: Journal) -> None:
    assert journal.queries.turn_before(1, 1) is None
    assert journal.queries.turn_before(1, 2) == (1, record_of(0).turns[1])
    assert journal.queries.turn_before(1, 7) == (4, record_of(2).turns[1])
    assert journal.queries.turn_before(1, 99) == (8, record_of(4).turns[1])
    assert journal.queries.turn_before(3, 99) is None


def test_logs_and_records_are_read_by_round(journal: Journal) -> None:
    assert [(row.round, row.place, row.log) for row in journal.queries.logs()] == [
        (2, 1, Log("info", "2")),
        (7, 1, Log("info", "7")),
    ]
    assert list(journal.queries.logs(0)) == []
    assert len(list(journal.queries.logs(1))) == 2
    assert [(row.round, row.place, row.name, row.value) for row in journal.queries.records()] == [
        (number, 1, *pair) for number in (2, 7) for pair in (("x", number), ("y", "t"))
    ]
    assert [row.value for row in journal.queries.records("x")] == [2, 7]
    assert [row.value for row in journal.queries.records("x", 1)] == [2, 7]
    assert list(journal.queries.records("x", 0)) == []
    assert len(list(journal.queries.records(place=1))) == 4


def take_out(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute(statement)
        database.commit()


def test_whether_texts_were_taken_out_is_told(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    with create(path) as journal:
        journal.writer.commit(round_(1, LONG))
        journal.writer.commit(record_of(1))
    with Journal.open(path) as journal:
        assert journal.queries.is_redacted() is False
        assert journal.queries.withheld_messages() == set()
        body = journal.queries.message(1).body
    take_out(path, "UPDATE blobs SET size = 0, data = X'' WHERE id = (SELECT body FROM messages WHERE seq = 1)")
    with Journal.open(path) as journal:
        assert journal.queries.is_redacted() is True
        assert journal.queries.withheld_messages() == {1}
        assert journal.queries.message(1).body == Withheld(hashlib.sha256(body.encode()).hexdigest())


def test_a_recorded_text_that_was_taken_out_is_told(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    with create(path) as journal:
        journal.writer.commit(record_of(0))
        journal.writer.commit(record_of(1))
    digest = hashlib.sha256(b"t").hexdigest()
    take_out(path, f"UPDATE records SET value = CAST('sha256:{digest}' AS BLOB) WHERE name = 'y'")
    with Journal.open(path) as journal:
        assert journal.queries.is_redacted() is True
        assert journal.queries.withheld_messages() == set()
        assert [type(row.value) for row in journal.queries.records("y")] == [Withheld]


RECORDED = Path(__file__).parents[1] / "formats"


def test_sums_are_over_all_or_one_agent_up_to_a_round() -> None:
    _, rounds, _ = recorded_run()
    with Journal.open(RECORDED / "format-3.journal") as journal:
        for last in (1, 2, rounds[-1].round):
            for place in (None, 0, 2):
                played = [record for record in rounds if record.round <= last]
                turns = [turn for record in played for turn in record.turns if place in (None, turn.place)]
                asked = [pair for record in played for pair in record.effects() if place in (None, pair[0])]
                senders = [message.sender for record in played for message in record.messages]
                assert journal.queries.totals(last, place) == Totals(
                    turns=len(turns),
                    failed=sum(turn.failure is not None for turn in turns),
                    messages=len(senders) if place is None else senders.count(place),
                    effects=len(asked),
                    tokens=sum(len(effect.tokens or ()) for _, effect in asked),
                    fuel=sum(turn.fuel for turn in turns),
                )
        assert (journal.queries.totals(1).effects, journal.queries.totals(1).tokens) == (3, 303)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_who_was_stopped_is_read_of_every_format(number: int) -> None:
    with Journal.open(RECORDED / f"format-{number}.journal") as journal:
        assert journal.queries.stopped() == journal.queries.stopped(2) == {1}
        assert journal.queries.stopped(1) == frozenset()


def test_tools_that_were_called_are_told_but_for_calls_that_were_not_made(tmp_path: Path) -> None:
    def call(index: int, tool: object, reply: str) -> EffectRecord:
        return EffectRecord(index, "call", None, canonical({"effect": "call", "tool": tool}), reply)

    done, denied = '{"ok":{"text":"t"}}', '{"error":{"kind":"denied","message":"m"}}'
    first = (
        call(0, "s.done", done),
        call(1, "s.denied", denied),
        call(2, "s.failed", '{"error":{"kind":"tool","message":"m"}}'),
        call(3, "s.strange", '{"error":7}'),
        call(4, 7, done),
        EffectRecord(5, "generate", "m", '{"tool":"s.no_call"}', done),
        EffectRecord(6, "call", None, "[1]", done),
        call(7, "s.list", "[1]"),
    )
    with create(tmp_path / "run.journal") as journal:
        for number, effects in ((1, first), (2, (call(0, "s.later", done),))):
            record = simple(number)
            turns = (replace(record.turns[0], effects=effects), *record.turns[1:])
            journal.writer.commit(replace(record, turns=turns))
        told = ["s.done", "s.failed", "s.later", "s.list", "s.strange"]
        assert sorted(journal.queries.called({"denied"})) == told
        assert sorted(journal.queries.called(())) == sorted([*told, "s.denied"])
