"""Rows become records, and a column that cannot be what was written is named."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from turnwise.core.events import Input
from turnwise.core.records import (
    AgentRecord,
    ChangeRecord,
    EffectRecord,
    EndRecord,
    MessageRecord,
    TurnRecord,
    WaveRecord,
)
from turnwise.core.turn import Failure, FailureClass, Log, Record, Send, Spawn, TurnOutput
from turnwise.core.withheld import Withheld, WithheldTokens, as_member
from turnwise.errors import JournalError
from turnwise.journal.file.schema import TABLES
from turnwise.journal.read.decode import RowDecoder, by_turn, pages

DIGEST = hashlib.sha256(b"secret").hexdigest()
LONG, GONE, MISSING = 1, 2, 3
"""Numbers of blobs: a text, one that was taken out, and one that is not there."""


@pytest.fixture
def decoder() -> Iterator[RowDecoder]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        for table in ("blobs", "agents", "messages"):
            database.execute(TABLES[table])
        long = b"a long text"
        database.execute("INSERT INTO blobs VALUES (1, ?, ?, ?)", (hashlib.sha256(long).digest(), len(long), long))
        database.execute("INSERT INTO blobs VALUES (2, ?, 0, X'')", (bytes.fromhex(DIGEST),))
        database.executemany(
            "INSERT INTO agents VALUES (?, ?, 'k', '{}', '', 0, NULL, NULL)",
            [(place, f"a-{place}") for place in range(3)],
        )
        insert = "INSERT INTO messages (seq, round, sender, receiver, body) VALUES (?, 1, 0, 'a', '')"
        database.executemany(insert, [(seq,) for seq in range(5)])
        yield RowDecoder(database, Path("run.journal"))


AGENT = (2, "n", "k", "{}", LONG, 3, 1, '["k","j"]')
MESSAGE = (4, 3, 1, "to", "body", "[[0,1]]", None)
EFFECT = (3, 1, 0, "generate", "m", "{}", LONG, "[1,0]")
LOG = (3, 1, 0, "info", LONG)
RECORD = (3, 1, 0, "name", 2.5)
TURN = (
    3,
    1,
    4,
    "[[0,1]]",
    None,
    None,
    "state",
    2,
    '{"finish":"{}","spawn":[["k","n",null,"s"]],"stop":["x"]}',
    "out",
    9,
    2,
)
FAILED = (3, 1, 4, None, "raised", "why", None, None, None, None, 9, 2)
WAVE = (3, 0, 0, 1, "m", "[[0,0,1]]", LONG)
CHANGE = (3, 0, 0, "state", 1, "given")
INPUT = (3, 0, 0, "message", "a", "hello")
END = (3, "finished", LONG, None, b"h" * 32)


def turn(decoder: RowDecoder, row: tuple[Any, ...]) -> TurnRecord:
    return decoder.turn(row, [], [], [], [])


def test_rows_become_records(decoder: RowDecoder) -> None:
    assert decoder.agent(AGENT) == AgentRecord(2, "n", "k", "{}", "a long text", 3, 1, ("k", "j"))
    assert decoder.agent((*AGENT[:6], None, None)) == AgentRecord(2, "n", "k", "{}", "a long text", 3, None, ())
    assert decoder.message(MESSAGE) == MessageRecord(4, 3, 1, "to", "body", (0, 1))
    assert decoder.message((0, 0, None, "to", LONG, None, None)) == MessageRecord(0, 0, None, "to", "a long text", ())
    assert decoder.effect(EFFECT) == EffectRecord(0, "generate", "m", "{}", "a long text", (1, 0))
    assert decoder.effect((3, 1, 0, "x", None, "", "", None)) == EffectRecord(0, "x", None, "", "", None)
    assert decoder.log(LOG) == Log("info", "a long text")
    assert decoder.record(RECORD) == Record("name", 2.5)
    assert decoder.wave(WAVE, 2) == WaveRecord(1, "m", ((0, 0), (0, 1)), "a long text")
    assert decoder.change(CHANGE) == ChangeRecord("state", 1, "given")
    assert decoder.change((3, 0, 0, "drop", 7, None)) == ChangeRecord("drop", 7, None)
    assert decoder.change((3, 0, 0, "plan", None, LONG)) == ChangeRecord("plan", None, "a long text")
    assert decoder.change(INPUT) == Input("a", "hello", 2)
    assert decoder.change((*INPUT[:5], None)) == Input("a", "", 2)
    assert decoder.end(END) == EndRecord("finished", 3, "a long text", None, b"h" * 32)
    assert decoder.end((0, "quiet", None, "m", None)) == EndRecord("quiet", 0, None, "m", None)
    assert decoder.stopped([(3, 0, 0, 2), (3, 0, 1, 1)]) == (2, 1)


def test_rows_of_a_turn_become_one_record(decoder: RowDecoder) -> None:
    sent = [MessageRecord(4, 3, 1, "to", "body", (0, 1))]
    found = decoder.turn(TURN, sent, [EFFECT], [LOG], [RECORD])
    output = TurnOutput(
        "state",
        (Send("to", "body"),),
        (Log("info", "a long text"),),
        (Record("name", 2.5),),
        2,
        (Spawn("k", "n", None, "s"),),
        ("x",),
        "{}",
    )
    assert found == TurnRecord(1, 4, (0, 1), output, None, (decoder.effect(EFFECT),), "out", 9, 2)
    bare = (3, 1, 4, None, None, None, LONG, None, None, None, 9, 2)
    assert turn(decoder, bare) == TurnRecord(1, 4, (), TurnOutput("a long text"), None, (), "", 9, 2)
    failure = Failure(FailureClass.RAISED, "why")
    assert turn(decoder, FAILED) == TurnRecord(1, 4, (), None, failure, (), "", 9, 2)
    for extra, made in (
        ('{"stop":["x"]}', TurnOutput("", stop=("x",))),
        ('{"finish":"1"}', TurnOutput("", finish="1")),
        ('{"spawn":[["k","n","{}",null]]}', TurnOutput("", spawn=(Spawn("k", "n", "{}", None),))),
    ):
        assert turn(decoder, (*bare[:6], "", None, extra, *bare[9:])).output == made


def test_what_was_taken_out_is_known_by_its_digest(decoder: RowDecoder) -> None:
    assert type(decoder.agent((*AGENT[:3], GONE, *AGENT[4:])).args) is Withheld
    assert decoder.effect((*EFFECT[:7], GONE)).tokens == WithheldTokens(DIGEST)
    member = as_member(Withheld(DIGEST))
    assert member == {"redacted": DIGEST}
    extra = '{"finish":{"redacted":"%s"},"spawn":[["k","n",{"redacted":"%s"},{"redacted":"%s"}]]}' % ((DIGEST,) * 3)
    output = turn(decoder, (*TURN[:8], extra, *TURN[9:])).output
    assert output is not None
    assert [type(text) for text in (output.finish, output.spawn[0].args, output.spawn[0].state)] == [Withheld] * 3


NO_NUMBERS = (-1, "1", 1.0, None, True, b"1")
NO_TEXTS = (1, None, b"a", 1.0)
NO_VALUES = (None, b"a", 1.0, MISSING)
NO_OUTPUTS = (
    "[]",
    "{",
    "1",
    '{"other":1}',
    '{"spawn":{}}',
    '{"spawn":[["k","n",null]]}',
    '{"spawn":[[1,"n",null,null]]}',
    '{"spawn":[["k",1,null,null]]}',
    '{"spawn":[["k","n",1,null]]}',
    '{"spawn":[["k","n",null,1]]}',
    '{"spawn":["knas"]}',
    '{"stop":"x"}',
    '{"stop":[1]}',
    '{"finish":1}',
    '{"finish":{}}',
    1.0,
    MISSING,
)
WRONG: list[tuple[str, tuple[Any, ...], int, tuple[Any, ...], str]] = [
    ("agent", AGENT, 0, NO_NUMBERS, "an agent's place is not a number from 0"),
    ("agent", AGENT, 1, NO_TEXTS, "name of agent 2 is not a text"),
    ("agent", AGENT, 2, NO_TEXTS, "kind of agent 2 is not a text"),
    ("agent", AGENT, 3, NO_VALUES, "(args of agent 2 is neither|blob 3 is missing)"),
    ("agent", AGENT, 4, NO_VALUES, "(state of agent 2 is neither|blob 3 is missing)"),
    ("agent", AGENT, 5, NO_NUMBERS, "born of agent 2 is not a number"),
    ("agent", AGENT, 6, NO_NUMBERS[:3], "parent of agent 2 is not a number"),
    ("agent", AGENT, 7, ("{}", "[1]", '["a",null]', '"a"'), "grants of agent 2 are not a list of texts"),
    ("agent", AGENT, 7, ("", "{"), "grants of agent 2 is not JSON"),
    ("message", MESSAGE, 0, NO_NUMBERS, "a message's seq is not a number"),
    ("message", MESSAGE, 1, NO_NUMBERS, "round of message 4 is not a number"),
    ("message", MESSAGE, 2, NO_NUMBERS[:3], "sender of message 4 is not a number"),
    ("message", MESSAGE, 3, NO_TEXTS, "receiver of message 4 is not a text"),
    ("message", MESSAGE, 4, NO_VALUES, "(body of message 4 is neither|blob 3 is missing)"),
    (
        "message",
        MESSAGE,
        5,
        ("", "[[0]]", "[[1,0]]", "[[0,3]]", "{}"),
        "recipients of message 4 is not a list of numbers",
    ),
    ("effect", EFFECT, 2, NO_NUMBERS, "nr of an effect of place 1 in round 3 is not a number"),
    ("effect", EFFECT, 3, NO_TEXTS, "kind of an effect of place 1 in round 3 is not a text"),
    ("effect", EFFECT, 4, (1, b"m"), "model of an effect of place 1 in round 3 is not a text"),
    ("effect", EFFECT, 5, NO_VALUES, "(request of an effect|blob 3 is missing)"),
    ("effect", EFFECT, 6, NO_VALUES, "(reply of an effect|blob 3 is missing)"),
    ("effect", EFFECT, 7, ("{}", "[-1]", "[true]", "[1.0]", '["1"]', "1"), "tokens of an effect .* not a list of ids"),
    ("effect", EFFECT, 7, ("", "["), "tokens of an effect of place 1 in round 3 is not JSON"),
    ("log", LOG, 3, ("fatal", "", 1, None), "level of a log of place 1 in round 3 is unknown"),
    ("log", LOG, 4, NO_VALUES, "(text of a log|blob 3 is missing)"),
    ("record", RECORD, 3, NO_TEXTS, "name of a record of place 1 in round 3 is not a text"),
    ("record", RECORD, 4, (None, b"x"), "value of a record of place 1 in round 3 is"),
    ("turn", TURN, 1, ("1", None, 1.0), "a turn of round 3 has a column of a wrong type"),
    ("turn", TURN, 2, ("1", None, 1.0), "a turn of round 3 has a column of a wrong type"),
    ("turn", TURN, 10, ("1", None, 1.0), "a turn of round 3 has a column of a wrong type"),
    ("turn", TURN, 11, ("1", None, 1.0), "a turn of round 3 has a column of a wrong type"),
    ("turn", TURN, 3, ("", "[[0,5]]", "[[2]]"), "inbox of the turn of place 1 in round 3 is not a list of numbers"),
    ("turn", TURN, 5, ("why", "", 1), "there is a message of the turn of place 1 in round 3, which did not fail"),
    ("turn", TURN, 6, NO_VALUES, "(state of the turn|blob 3 is missing)"),
    ("turn", TURN, 7, NO_NUMBERS[:3], "wake_in of the turn of place 1 in round 3 is not a number"),
    ("turn", TURN, 8, NO_OUTPUTS, "(extra of the turn of place 1 in round 3|blob 3 is missing)"),
    ("turn", TURN, 9, (b"a", 1.0, MISSING), "(stdout of the turn|blob 3 is missing)"),
    ("turn", FAILED, 4, ("other", ""), "failure of the turn of place 1 in round 3 is unknown"),
    ("turn", FAILED, 4, (1, b"a"), "failure of the turn of place 1 in round 3 is not a text"),
    ("turn", FAILED, 5, NO_VALUES, "(message of the turn|blob 3 is missing)"),
    ("turn", FAILED, 6, ("", 1), "the output of the turn of place 1 in round 3, which failed, is not empty"),
    ("turn", FAILED, 7, (0, 1), "the output of the turn of place 1 in round 3, which failed, is not empty"),
    ("turn", FAILED, 8, ("{}", ""), "the output of the turn of place 1 in round 3, which failed, is not empty"),
    ("wave", WAVE, 3, NO_NUMBERS, "number of a wave of round 3 is not a number"),
    ("wave", WAVE, 4, NO_TEXTS, "model of a wave of round 3 is not a text"),
    ("wave", WAVE, 5, ("", "[]]", "[[0,0,2]]", "[[0]]"), "requests of a wave of round 3 are not a list of effects"),
    ("wave", WAVE, 5, NO_VALUES, "(requests of a wave|blob 3 is missing)"),
    ("wave", WAVE, 6, NO_VALUES, "(plan of a wave|blob 3 is missing)"),
    ("change", CHANGE, 3, ("other", "", None, 1), "the kind of a change of round 3 is unknown"),
    ("change", CHANGE, 4, NO_NUMBERS[:3], "target of a change of round 3 is not a number"),
    ("change", CHANGE, 5, NO_VALUES[1:], "(value of a change|blob 3 is missing)"),
    ("change", INPUT, 4, NO_TEXTS, "target of a change of round 3 is not a text"),
    ("change", INPUT, 0, NO_NUMBERS[1:], "round of a change of round .* is not a number"),
    ("end", END, 0, NO_NUMBERS, "round of the end is not a number"),
    ("end", END, 1, ("other", "", None, 1), "the reason of the end is unknown"),
    ("end", END, 2, NO_VALUES[1:], "(result of the end|blob 3 is missing)"),
    ("end", END, 3, NO_VALUES[1:], "(message of the end|blob 3 is missing)"),
    ("end", END, 4, (b"h" * 31, b"h" * 33, "h" * 32, 1), "head of the end is not a SHA-256"),
]


@pytest.mark.parametrize(("what", "row", "column", "values", "said"), WRONG)
def test_a_column_that_cannot_be_is_named(
    decoder: RowDecoder, what: str, row: tuple[Any, ...], column: int, values: tuple[Any, ...], said: str
) -> None:
    by_name: dict[str, Any] = {"turn": partial(turn, decoder), "wave": partial(decoder.wave, effects=2)}
    decode = by_name.get(what) or getattr(decoder, what)
    for value in values:
        with pytest.raises(JournalError, match=f"the journal is damaged: {said}"):
            decode((*row[:column], value, *row[column + 1 :]))


@pytest.mark.parametrize("rows", [{"sends": 1}, {"logs": 1}, {"records": 1}])
def test_a_turn_that_failed_has_none_of_an_output(decoder: RowDecoder, rows: dict[str, int]) -> None:
    parts: dict[str, list[Any]] = {"sends": [MessageRecord(4, 3, 1, "to", "b", ())], "logs": [LOG], "records": [RECORD]}
    given = {name: parts[name] if name in rows else [] for name in parts}
    with pytest.raises(JournalError, match="which failed, is not empty"):
        decoder.turn(FAILED, given["sends"], [], given["logs"], given["records"])


def test_rows_count_from_0(decoder: RowDecoder) -> None:
    right = [(3, 1, 0, "info", "a"), (3, 1, 1, "info", "b")]
    assert decoder.counted(right, 2) == right
    assert decoder.counted([], 2) == []
    for wrong in (right[::-1], right[1:], [right[0], right[0]], [(3, 1, "0", "info", "")]):
        with pytest.raises(JournalError, match=r"the rows \(3, 1\) … are not numbered from 0"):
            decoder.counted(wrong, 2)


def test_a_list_is_bounded_by_what_there_is_now(decoder: RowDecoder) -> None:
    with pytest.raises(JournalError, match="not a list of numbers"):
        decoder.numbers("[[0,3]]", "agents", "recipients")
    decoder._connection.execute("INSERT INTO agents VALUES (3, 'a-3', 'k', '{}', '', 0, NULL, NULL)")
    assert decoder.numbers("[[0,3]]", "agents", "recipients") == (0, 1, 2, 3)
    assert decoder.numbers("[[0,4]]", "messages", "inbox") == (0, 1, 2, 3, 4)


def test_blobs_are_read_together(decoder: RowDecoder) -> None:
    seen: list[str] = []
    decoder._connection.set_trace_callback(seen.append)
    decoder.prefetch([(LONG, "text", None), (GONE, True, MISSING)], 0, 1, 2)
    assert len(seen) == 1
    assert decoder.value(LONG, "x") == "a long text"
    assert type(decoder.value(GONE, "x")) is Withheld
    assert len(seen) == 1
    decoder.prefetch([], 0)


def test_rows_are_grouped_in_order() -> None:
    rows = [(1, 2, "a"), (1, 3, "b"), (1, 2, "c"), (2, 2, "d")]
    assert by_turn(rows) == {(1, 2): [rows[0], rows[2]], (1, 3): [rows[1]], (2, 2): [rows[3]]}
    assert list(by_turn(rows)) == [(1, 2), (1, 3), (2, 2)]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5])
def test_pages_are_read_until_one_is_not_full(count: int) -> None:
    asked: list[int] = []

    def fetch(after: int) -> list[tuple[Any, ...]]:
        asked.append(after)
        return [(number,) for number in range(10, 10 + count) if number > after][:2]

    assert list(pages(fetch, 9, 2)) == [(number,) for number in range(10, 10 + count)]
    assert asked == [9, *range(11, 10 + count, 2)]
