"""Records to commit: small ones by hand, and strategies for any that the core may make."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from hypothesis import strategies as st

from turnwise.core.canonical import canonical
from turnwise.core.records import AgentRecord, EffectRecord, MessageRecord, RoundRecord, TurnRecord, WaveRecord
from turnwise.core.turn import LOG_LEVELS, Failure, FailureClass, Log, Record, Send, Spawn, TurnOutput
from turnwise.journal import CodeSource, Journal
from turnwise.journal.file.schema import TABLES

CODES = {"c0" * 32: CodeSource("module", "noop.wat", (("noop.wat", b"(module)"),))}


def chain(*parts: object) -> bytes:
    """Any 32 bytes that depend on the parts."""
    return hashlib.sha256(repr(parts).encode()).digest()


def agents(count: int, state: str = "") -> tuple[AgentRecord, ...]:
    return tuple(AgentRecord(place, f"a-{place}", "a", "{}", state, 0, None, ("a",)) for place in range(count))


def create(path: Path, count: int = 3) -> Journal:
    return Journal.create(path, plan='{"name":"w"}', info="{}", versions="{}", codes=CODES, agents=agents(count))


def columns_of_tables() -> dict[str, list[str]]:
    """The columns of each table of the current format."""
    with closing(sqlite3.connect(":memory:")) as database:
        for sql in TABLES.values():
            database.execute(sql)
        return {
            table: [row[1] for row in database.execute(f"PRAGMA table_info({table})").fetchall()] for table in TABLES
        }


def simple(round: int, count: int = 3, size: int = 100) -> RoundRecord:  # noqa: A002
    """Every agent has a turn, changes its state, and writes to the next agent, which reads it a round later."""
    turns = []
    messages = []
    for place in range(count):
        seq = (round - 1) * count + place
        body = f"{round}:{place}:".ljust(size, "b")
        read = (seq - count - 1 if place else seq - 1,) if round > 1 else ()
        to = (place + 1) % count
        messages.append(MessageRecord(seq, round, place, f"a-{to}", body, (to,)))
        output = TurnOutput(f"{round}:{place}:".ljust(size, "s"), (Send(f"a-{to}", body),))
        turns.append(TurnRecord(place, round, read, output, None, (), "", 1000 + place, 1))
    return RoundRecord(round, tuple(turns), (), tuple(messages), (), (), chain("h", round), chain("e", round))


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.builds(
    lambda part, times: part * times, st.text(st.characters(exclude_categories=["Cs"]), max_size=8), st.integers(1, 300)
)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
tokens = st.none() | st.lists(st.integers(0, 200_000), max_size=60).map(tuple)
numbers = st.integers(0, 2**63 - 1)
values = st.integers() | st.floats(allow_nan=False) | texts
places = st.integers(0, 2**32 - 1)


@st.composite
def outputs(draw: st.DrawFn, sends: Sequence[Send]) -> TurnOutput:
    return TurnOutput(
        draw(texts),
        tuple(sends),
        tuple(draw(st.lists(st.builds(Log, st.sampled_from(LOG_LEVELS), texts), max_size=2))),
        tuple(draw(st.lists(st.builds(Record, names, values), max_size=2))),
        draw(st.none() | numbers),
        tuple(draw(st.lists(st.builds(Spawn, names, names, st.none() | texts, st.none() | texts), max_size=2))),
        tuple(draw(st.lists(names, max_size=2))),
        draw(st.none() | texts.map(canonical)),
    )


@st.composite
def runs_of_rounds(draw: st.DrawFn) -> tuple[tuple[AgentRecord, ...], list[RoundRecord]]:
    """A beginning and rounds that follow one another, as far as a journal asks for."""
    population = [
        AgentRecord(place, f"a-{place}", draw(names), draw(texts), draw(texts), 0, None, tuple(draw(st.lists(names))))
        for place in range(draw(st.integers(0, 4)))
    ]
    beginning = tuple(population)
    rounds = []
    seq = draw(st.integers(0, 3))

    def message(round_: int, sender: int | None) -> MessageRecord:
        nonlocal seq
        seq += draw(st.integers(1, 2))
        those = st.lists(st.integers(0, len(population) - 1), unique=True) if population else st.just([])
        return MessageRecord(seq, round_, sender, draw(names), draw(texts), tuple(draw(those)))

    sent: list[int] = []
    number = 0
    for _ in range(draw(st.integers(0, 4))):
        before, number = number, number + draw(st.integers(1, 3))  # rounds in which nobody moves are not committed
        inputs = tuple(message(before, None) for _ in range(draw(st.integers(0, 2))))
        sent += [entry.seq for entry in inputs]
        turns = []
        messages: list[MessageRecord] = []
        movers = sorted(draw(st.sets(st.integers(0, len(population) - 1)))) if population else []
        for place in movers:
            failure = draw(st.none() | st.builds(Failure, st.sampled_from(FailureClass), texts))
            output = None
            if failure is None:
                own = [message(number, place) for _ in range(draw(st.integers(0, 2)))]
                messages += own
                output = draw(outputs([Send(entry.to, entry.body) for entry in own]))
            effects = [
                EffectRecord(index, draw(names), draw(st.none() | names), draw(texts), draw(texts), draw(tokens))
                for index in range(draw(st.integers(0, 2)))
            ]
            inbox = tuple(draw(st.lists(st.sampled_from(sent), unique=True))) if sent else ()
            turns.append(
                TurnRecord(
                    place,
                    draw(numbers),
                    inbox,
                    output,
                    failure,
                    tuple(effects),
                    draw(texts),
                    draw(numbers),
                    draw(numbers),
                )
            )
        sent += [entry.seq for entry in messages]
        spawned = []
        for _ in range(draw(st.integers(0, 2))):
            place = len(population)
            born = AgentRecord(place, f"a-{place}", draw(names), draw(texts), draw(texts), number, draw(places), ("k",))
            spawned.append(born)
            population.append(born)
        waves = []
        asked = sorted((turn.place, effect.index) for turn in turns for effect in turn.effects if effect.model)
        for wave, request in enumerate(asked[: draw(st.integers(0, 3))], 1):
            model = next(t.effects[request[1]].model for t in turns if t.place == request[0])
            assert model is not None
            waves.append(WaveRecord(wave, model, (request,), draw(texts)))
        rounds.append(
            RoundRecord(
                number,
                tuple(turns),
                inputs,
                tuple(messages),
                tuple(spawned),
                tuple(draw(st.lists(places, max_size=2))),
                chain("h", number),
                chain("e", number),
                tuple(waves),
            )
        )
    return beginning, rounds
