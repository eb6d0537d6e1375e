"""Effects that are known of before their rounds are committed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.journal.records import chain, create
from turnwise.core.records import EffectRecord, ParkRecord, QuestionRecord, RoundRecord, TurnRecord
from turnwise.core.turn import TurnOutput
from turnwise.errors import JournalError
from turnwise.journal import Journal
from turnwise.journal.file.ahead_row import AheadRow

MADE = AheadRow(1, 2, 0, 0, '{"effect":"call"}', is_made=True)
PARKED = AheadRow(1, 2, 0, 1, '{"effect":"call"}', is_parked=True)
KNOWN = AheadRow(0, 1, 3, 0, '{"effect":"generate"}', outcome='{"ok":{}}', tokens=(7, 2))


def written(path: Path, *batches: tuple[AheadRow, ...]) -> list[AheadRow]:
    """Write rows batch by batch; return those that a reader finds."""
    with create(path) as journal:
        for rows in batches:
            journal.writer.write_ahead(rows)
    with Journal.open(path) as journal:
        return journal.ahead.rows()


def test_rows_are_read_as_they_were_written_in_order(tmp_path: Path) -> None:
    assert written(tmp_path / "run.journal", (MADE, PARKED), (KNOWN,)) == [KNOWN, MADE, PARKED]
    assert (KNOWN.is_made, KNOWN.is_parked) == (False, False)
    assert [row.key for row in (KNOWN, PARKED)] == [(0, 1, 3, 0), (1, 2, 0, 1)]


def test_an_outcome_without_tokens_is_one(tmp_path: Path) -> None:
    answered = AheadRow(0, 1, 0, 0, "{}", outcome="told")
    assert written(tmp_path / "run.journal", (answered,)) == [answered]


def test_what_is_once_known_of_an_effect_stays(tmp_path: Path) -> None:
    request = MADE.request
    known = AheadRow(1, 2, 0, 0, request, outcome="first", tokens=(1,))
    later = AheadRow(1, 2, 0, 0, request, is_parked=True, outcome="second", tokens=(2,))
    whole = AheadRow(1, 2, 0, 0, request, True, True, "first", (1,))
    assert written(tmp_path / "run.journal", (MADE,), (known,), (later,), (MADE,)) == [whole]


def test_a_journal_without_the_table_knows_of_none() -> None:
    with Journal.open(Path(__file__).parents[1] / "formats" / "format-2.journal") as journal:
        assert journal.ahead.rows() == []


EFFECT = EffectRecord(0, "call", None, MADE.request, "{}")


def turn(place: int, number: int, *effects: EffectRecord) -> TurnRecord:
    return TurnRecord(place, number, (), TurnOutput(""), None, effects, "", 1, 1)


def waits(place: int, number: int) -> ParkRecord:
    asked = QuestionRecord(1, 1, "ask", "{}")
    return ParkRecord(place, number, (), 0, (EFFECT,), (asked,), ((2, True),), 0, 1, 1)


def round_of(
    number: int, *turns: TurnRecord, parks: tuple[ParkRecord, ...] = (), stopped: tuple[int, ...] = ()
) -> RoundRecord:
    head, execution = chain("h", number), chain("e", number)
    return RoundRecord(number, turns, (), (), (), stopped, head, execution, parks=parks)


@pytest.mark.parametrize(
    ("record", "left"),
    [
        (round_of(1, turn(1, 2)), 3),  # it has asked for nothing
        (round_of(1, turn(1, 1, EFFECT)), 3),
        (round_of(1, turn(2, 2, EFFECT)), 3),
        (round_of(1, turn(1, 2, EFFECT)), 0),
        (round_of(1, turn(1, 3, EFFECT)), 0),
        (round_of(1, parks=(waits(1, 2),)), 1),
        (round_of(1, parks=(waits(1, 3),)), 3),
        (round_of(1, parks=(waits(2, 2),)), 3),
        (round_of(1, stopped=(1,)), 0),
        (round_of(1, stopped=(2,)), 3),
    ],
)
@pytest.mark.parametrize("anew", [False, True])
def test_what_a_round_holds_is_known_ahead_no_longer(
    tmp_path: Path, record: RoundRecord, left: int, anew: bool
) -> None:
    path = tmp_path / "run.journal"
    other = AheadRow(1, 2, 1, 0, "{}")
    with create(path) as journal:
        journal.writer.write_ahead([MADE, PARKED, other])
        if not anew:
            journal.writer.commit(record)
    if anew:  # a writer that comes later finds that there are some
        with Journal.open(path, write=True) as journal:
            journal.writer.commit(record)
    with Journal.open(path) as journal:
        assert journal.ahead.rows() == ([MADE, PARKED, other] if left == 3 else [other][:left])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("place = 'x'", "a number of an effect of place x ahead of its round"),
        ("stage = 'x'", "a number of an effect of place 1"),
        ("made = 'x'", "a flag of an effect of place 1"),
        ("made = 2", "the row of an effect of place 1 ahead of its round is none"),
        ("parked = 2", "the row of an effect of place 1"),
        ("request = x'00'", "the row of an effect of place 1"),
        ("outcome = x'00'", "the row of an effect of place 1"),
        ("tokens = '7'", "tokens of an effect of place 1 ahead of its round are none"),
        ("tokens = '[true]'", "tokens of an effect of place 1"),
        ("tokens = '[1.5]'", "tokens of an effect of place 1"),
        ("tokens = 'nonsense'", "tokens of an effect of place 1"),
    ],
)
def test_a_row_that_cannot_be_one_is_damage(tmp_path: Path, change: str, said: str) -> None:
    path = tmp_path / "run.journal"
    written(path, (MADE,))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE ahead SET {change}")
    with Journal.open(path) as journal, pytest.raises(JournalError, match=said):
        journal.ahead.rows()
