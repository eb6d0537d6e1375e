"""The rows of a journal as flat tables, with names instead of places: for data frames, Parquet, CSV and JSON lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from turnwise.core.canonical import canonical
from turnwise.core.plan import OUTSIDE
from turnwise.core.withheld import as_member
from turnwise.errors import UsageError
from turnwise.journal.journal import Journal

if TYPE_CHECKING:
    from pandas import DataFrame

ColumnType = Literal["integer", "number", "text", "json"]
"""`integer`: a whole number of 64 bits. `number`: a double. `json`: JSON text."""

Cell = int | float | str | None

DOUBLE_EXACT_MAX: Final = 2**53


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    name: str
    """Name of the column."""
    type: ColumnType
    """Type of its values; each may be missing."""
    doc: str
    """Line that says what it holds."""


@dataclass(frozen=True, slots=True)
class FlatTable:
    """A table that a journal is shown as."""

    name: str
    """Name of the table."""
    doc: str
    """Line that says of what it has a row each."""
    columns: tuple[Column, ...]
    """Columns in order."""
    rows: Callable[[Journal], Iterator[tuple[Cell, ...]]]
    """Function that yields the rows of a journal."""


def table(name: str) -> FlatTable:
    """The table of a name. Raises UsageError if there is none."""
    if name not in TABLES:
        there = ", ".join(TABLES)
        raise UsageError(f"there is no table {name!r}", where="--table", actual=name, hint=f"There: {there}.")
    return TABLES[name]


def data_frame(journal: Journal, name: str) -> DataFrame:
    """A table as a data frame of pandas, whose columns have pandas' nullable types."""
    try:
        import pandas
    except ImportError as error:
        raise UsageError("pandas is not installed", hint='Install it: pip install "turnwise[tables]"') from error
    found = table(name)
    rows = list(found.rows(journal))
    columns = {
        column.name: pandas.array([row[index] for row in rows], dtype=_PANDAS[column.type])
        for index, column in enumerate(found.columns)
    }
    return pandas.DataFrame(columns)


_PANDAS: Final[dict[ColumnType, str]] = {"integer": "Int64", "number": "Float64", "text": "string", "json": "string"}


def _names(journal: Journal) -> list[str]:
    return [agent.name for agent in journal.queries.agents()]


def _agents(journal: Journal) -> Iterator[tuple[Cell, ...]]:
    names: list[str] = []
    for agent in journal.queries.agents():
        names.append(agent.name)
        parent = None if agent.parent is None else names[agent.parent]
        yield agent.place, agent.name, agent.kind, str(agent.args), str(agent.state), agent.born, parent


def _rounds(journal: Journal) -> Iterator[tuple[Cell, ...]]:
    for summary in journal.rounds.summaries():
        outcome = None if summary.outcome is None else summary.outcome.hex()
        counts = (summary.turns, summary.failed, summary.effects, summary.inputs, summary.messages)
        more = (summary.logs, summary.records, summary.spawned, summary.stopped, summary.agents, summary.fuel)
        yield summary.round, summary.head.hex(), summary.execution.hex(), outcome, *counts, *more


def _turns(journal: Journal) -> Iterator[tuple[Cell, ...]]:
    names = _names(journal)
    for number, turn in journal.queries.turns():
        output, failure = turn.output, turn.failure
        spawn = stop = None
        if output is not None and output.spawn:
            texts = [(as_member(one.args or ""), as_member(one.state or "")) for one in output.spawn]
            spawn = canonical([[one.kind, one.name, *text] for one, text in zip(output.spawn, texts, strict=True)])
        if output is not None and output.stop:
            stop = canonical(list(output.stop))
        yield (
            number,
            turn.place,
            names[turn.place],
            turn.turn,
            canonical(list(turn.inbox)),
            None if failure is None else str(failure.kind),
            None if failure is None else str(failure.message),
            None if output is None else str(output.state),
            None if output is None else output.wake_in,
            spawn,
            stop,
            None if output is None or output.finish is None else str(output.finish),
            str(turn.stdout),
            turn.fuel,
            turn.executions,
        )


def _effects(journal: Journal) -> Iterator[tuple[Cell, ...]]:
    names = _names(journal)
    for record in journal.rounds.between():
        for place, effect in sorted(record.effects(), key=lambda one: (one[0], one[1].index)):
            tokens = None if effect.tokens is None else canonical(list(effect.tokens))
            texts = (str(effect.request), str(effect.reply), tokens)
            yield record.round, place, names[place], effect.index, effect.kind, effect.model, *texts


def _parks(journal: Journal) -> Iterator[tuple[Cell, ...]]:
    names = _names(journal)
    for number, park in journal.rounds.parks.all_parks():
        lists = (canonical(list(park.inbox)), canonical([question.id for question in park.questions]))
        yield number, park.place, names[park.place], park.turn, *lists, park.fuel, park.executions


def _questions(journal: Journal) -> Iterator[tuple[Cell, ...]]:
    names, parks = _names(journal), journal.rounds.parks
    answers = parks.first_answers()
    for number, place, asked in parks.all_questions():
        at = answers.get(asked.id)
        answered, reply = (None, None) if at is None else (at[0], str(parks.answer_at(*at).reply))
        facts = (asked.index, asked.kind, str(asked.request), asked.deadline)
        yield asked.id, number, place, names[place], *facts, answered, reply


def _answers(journal: Journal) -> Iterator[tuple[Cell, ...]]:
    for number, answer in journal.rounds.parks.all_answers():
        yield number, answer.question, str(answer.reply)


def _messages(journal: Journal) -> Iterator[tuple[Cell, ...]]:
    names = _names(journal)
    for message in journal.queries.messages():
        sender = OUTSIDE if message.sender is None else names[message.sender]
        recipients = canonical([names[place] for place in message.recipients])
        yield message.seq, message.round, sender, message.to, str(message.body), recipients, message.attach


def _logs(journal: Journal) -> Iterator[tuple[Cell, ...]]:
    names = _names(journal)
    for row in journal.queries.logs():
        yield row.round, row.place, names[row.place], row.log.level, str(row.log.text)


def _records(journal: Journal) -> Iterator[tuple[Cell, ...]]:
    names = _names(journal)
    for row in journal.queries.records():
        value: float | None = None
        text: str | None = None
        if isinstance(row.value, str) or (isinstance(row.value, int) and abs(row.value) > DOUBLE_EXACT_MAX):
            text = str(row.value)
        else:
            value = float(row.value)
        yield row.round, row.place, names[row.place], row.name, value, text


def _waves(journal: Journal) -> Iterator[tuple[Cell, ...]]:
    for summary in journal.rounds.summaries():
        if summary.waves:
            for wave in journal.rounds.waves(summary.round):
                yield summary.round, wave.wave, wave.model, canonical([list(one) for one in wave.requests]), wave.plan


def _timings(journal: Journal) -> Iterator[tuple[Cell, ...]]:
    for times in journal.timings.between():
        commit = (None, None) if times.commit is None else tuple(times.commit)
        yield times.round, times.started_us, times.duration_us, *commit


def _turn_timings(journal: Journal) -> Iterator[tuple[Cell, ...]]:
    names = _names(journal)
    for times in journal.timings.between():
        for place, span in sorted(times.turns.items()):
            yield times.round, place, names[place], span.start_us, span.duration_us


def _effect_timings(journal: Journal) -> Iterator[tuple[Cell, ...]]:
    names = _names(journal)
    for times in journal.timings.between():
        for (place, nr), span in sorted(times.effects.items()):
            yield times.round, place, names[place], nr, span.start_us, span.duration_us


_ROUND = Column("round", "integer", "round")
_PLACE = Column("place", "integer", "number of the agent")
_AGENT = Column("agent", "text", "name of the agent")
_START = Column("start_us", "integer", "microseconds from the round's beginning")
_DURATION = Column("duration_us", "integer", "microseconds that it took")


def _integers(**columns: str) -> tuple[Column, ...]:
    return tuple([Column(name, "integer", doc) for name, doc in columns.items()])


def _texts(**columns: str) -> tuple[Column, ...]:
    return tuple([Column(name, "text", doc) for name, doc in columns.items()])


def _jsons(**columns: str) -> tuple[Column, ...]:
    return tuple([Column(name, "json", doc) for name, doc in columns.items()])


_ALL: Final = (
    FlatTable(
        "agents",
        "an agent",
        (
            _PLACE,
            *_texts(name="name", kind="kind"),
            *_jsons(args="arguments, an object"),
            *_texts(state="state before its first turn"),
            *_integers(born="round that spawned it; 0 for the world file's"),
            *_texts(parent="name of the agent that spawned it"),
        ),
        _agents,
    ),
    FlatTable(
        "rounds",
        "a round in which somebody moved",
        (
            _ROUND,
            *_texts(head="head after it, hex", execution="execution digest, hex", outcome="digest of it alone, hex"),
            *_integers(
                turns="turns", failed="failed turns", effects="effects", inputs="messages from outside",
                messages="messages that its turns sent", logs="lines that were logged", records="recorded values",
                spawned="agents that came", stopped="agents that went", agents="agents that ever were, after it",
                fuel="fuel of its turns",
            ),
        ),
        _rounds,
    ),
    FlatTable(
        "turns",
        "a turn",
        (
            _ROUND, _PLACE, _AGENT,
            *_integers(turn="number among the agent's own, from 1"),
            *_jsons(inbox="list of the `seq` of the messages that it read"),
            *_texts(failure="class of the failure", message="what the failure said", state="state that it left"),
            *_integers(wake_in="rounds until it wants to be woken"),
            *_jsons(
                spawn="list of `[kind, name, args, state]`", stop="list of names", finish="result that it finished with"
            ),
            *_texts(stdout="text that it printed"),
            *_integers(fuel="fuel of all executions", executions="executions"),
        ),
        _turns,
    ),
    FlatTable(
        "effects",
        "an effect of a turn",
        (
            _ROUND, _PLACE, _AGENT,
            *_integers(nr="number among the turn's own, from 0"),
            *_texts(kind="kind, such as `generate`", model="name of the model"),
            *_jsons(request="request", reply="reply", tokens="ids of the tokens of the answer"),
        ),
        _effects,
    ),
    FlatTable(
        "messages",
        "a message",
        (
            *_integers(seq="number over the whole run, from 0", round="round in which it was sent"),
            *_texts(sender="name of the sender, or `outside`", to="agent or group that it was sent to", body="text"),
            *_jsons(recipients="list of the names that get it"),
            *_texts(attach="handle of a content that comes with it"),
        ),
        _messages,
    ),
    FlatTable(
        "parks",
        "a turn that was left waiting, once for each round in which it was",
        (
            _ROUND, _PLACE, _AGENT,
            *_integers(turn="number among the agent's own, as in `turns`, where it stands with the round of its end"),
            *_jsons(inbox="list of the `seq` of its messages", questions="list of the `id` that it waits for"),
            *_integers(fuel="fuel of all executions in this round", executions="executions in this round"),
        ),
        _parks,
    ),
    FlatTable(
        "questions",
        "a question to people",
        (
            *_integers(id="number over the whole run, from 1", round="round in which it was asked"),
            _PLACE, _AGENT,
            *_integers(nr="number among the turn's effects, from 0"),
            *_texts(kind="`ask`"),
            *_jsons(request="request: `question`, and `schema`, `deadline`, `default` if given"),
            *_integers(
                deadline="round from which on its default is taken",
                answered="round that began with the answer that counts",
            ),
            *_jsons(reply="reply with that answer"),
        ),
        _questions,
    ),
    FlatTable(
        "answers",
        "an answer from outside",
        (
            *_integers(round="round that began with it", question="`id` of the question"),
            *_jsons(reply="reply: the answer, or why there is none"),
        ),
        _answers,
    ),
    FlatTable(
        "logs",
        "a line that was logged",
        (_ROUND, _PLACE, _AGENT, *_texts(level="level", text="line")),
        _logs,
    ),
    FlatTable(
        "records",
        "a recorded value",
        (
            _ROUND, _PLACE, _AGENT,
            *_texts(name="name"),
            Column("value", "number", "value, if it is a number that a double holds"),
            *_texts(text="value otherwise: a text, or a whole number in digits"),
        ),
        _records,
    ),
    FlatTable(
        "waves",
        "a batch of effects that a model answered together",
        (
            _ROUND,
            *_integers(wave="number in the round, from 1"),
            *_texts(model="name of the model"),
            *_jsons(requests="list of `[place, nr]`", plan="batch plan"),
        ),
        _waves,
    ),
    FlatTable(
        "timings",
        "a round whose times were noted by the clock",
        (
            _ROUND,
            *_integers(
                started_us="beginning, microseconds since 1970 UTC", duration_us="microseconds to its last turn's end",
                commit_start_us="begin of the commit, microseconds from the round's", commit_us="microseconds of it",
            ),
        ),
        _timings,
    ),
    FlatTable("turn_timings", "a turn with times", (_ROUND, _PLACE, _AGENT, _START, _DURATION), _turn_timings),
    FlatTable(
        "effect_timings",
        "an effect with times",
        (_ROUND, _PLACE, _AGENT, *_integers(nr="number of the effect"), _START, _DURATION),
        _effect_timings,
    ),
)  # fmt: skip

TABLES: Final[dict[str, FlatTable]] = {one.name: one for one in _ALL}


def markdown() -> str:
    """The tables and their columns, as a page of the documentation has them."""
    parts = []
    for one in TABLES.values():
        parts.append(f"`{one.name}`, a row for {one.doc}:\n\n| column | type |  |\n| -- | -- | -- |")
        parts += [f"| `{column.name}` | {column.type} | {column.doc} |" for column in one.columns]
        parts.append("")
    return "\n".join(parts)
