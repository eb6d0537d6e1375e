"""A run, as the reader of its journal sees it: typed, lazy, and never in memory as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, overload

from turnwise.core.head import genesis
from turnwise.core.plan import OUTSIDE, Plan
from turnwise.core.promise import Promise, weakest
from turnwise.core.question import AskedQuestion, answered, question_text
from turnwise.core.records import RoundRecord, TurnRecord, WaveRecord
from turnwise.journal.file.parent import Parent
from turnwise.journal.file.stored_json import stored_json, stored_object
from turnwise.journal.journal import Journal
from turnwise.journal.read.recorded_numeric import recorded_numeric
from turnwise.journal.run_rows import (
    Message,
    Park,
    RecordedValue,
    RoundTiming,
    Rows,
    RunAgent,
    RunAnswer,
    RunQuestion,
    Status,
    Turn,
)
from turnwise.journal.tables import TABLES, data_frame
from turnwise.system.paths import StrPath

if TYPE_CHECKING:
    from pandas import DataFrame


class Run:
    """A journal, opened for reading. A context manager; closes twice without harm.

    `rounds`, `turns`, `messages`, `records`, `agents`, `failures`, `timings`, and of turns that waited for people
    `parks`, `asked` (all questions) and `answers`, can be iterated as often as one likes, and have a length. `path` is
    the journal's file, and `parents` are the places that `open` was given.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._checked = False
        self.path: Path = journal.path
        self.parents: tuple[Path, ...] = journal.parents
        self.rounds: Rows[RoundRecord] = Rows(journal.rounds.between, lambda: journal.rounds.totals().rounds)
        self.turns: Rows[Turn] = Rows(self._turns, lambda: journal.rounds.totals().turns)
        self.messages: Rows[Message] = Rows(self._messages, self._messages_count)
        self.records: Rows[RecordedValue] = Rows(self._records, lambda: journal.rounds.totals().records)
        self.agents: Rows[RunAgent] = Rows(self._agents, lambda: len(self._names))
        self.timings: Rows[RoundTiming] = Rows(self._timings, lambda: journal.timings.count)
        self.parks: Rows[Park] = Rows(self._parks, lambda: journal.rounds.parks.counts()[0])
        self.asked: Rows[RunQuestion] = Rows(self._asked, lambda: journal.rounds.parks.counts()[1])
        self.answers: Rows[RunAnswer] = Rows(self._answers, lambda: journal.rounds.parks.counts()[2])
        self.failures: Rows[Turn] = Rows(self._failures, lambda: journal.rounds.totals().failed)

    @classmethod
    def open(cls, path: StrPath, *, parents: Sequence[Path] = ()) -> Self:
        """Open a journal, and follow the links of its chains. Raises `JournalError` for what is not one, or damaged.

        The links show that no round is missing or added, that the first agents are the plan's, and that the run ended
        as its head says. What is in the rounds is not read for it: see `unproved` and `check`. `parents` are files, and
        folders, in which to look for what a fork goes on from, if that was moved.
        """
        journal = Journal.open(path, parents=parents)
        try:
            journal.chains.check_links()
        except BaseException:
            journal.close()
            raise
        return cls(journal)

    def check(self) -> None:
        """Read all rounds, and compare their content, and snapshots, with the chains.

        Raises `JournalError` at the first damage.
        """
        self._journal.chains.check_contents()
        self._journal.contents.check()
        self._journal.machine.check_snapshots()
        self._checked = True

    @property
    def unproved(self) -> tuple[str, ...]:
        """Lines that say which of the things that this object shows are not proved.

        Only `turnwise.replay` executes turns again.
        """
        found = [] if self._checked else ["the content of rounds was not compared with the head"]
        if self._journal.header.rule == 1:
            found.append("the head does not cover how the run ended: the journal was begun in format 1 or 2")
        if self._journal.queries.is_redacted():
            found.append("texts were taken out of the journal; of each its SHA-256 is left")
        return (*found, "turns were not executed again")

    @cached_property
    def plan(self) -> Plan:
        """Plan of the world, as it is since the last change of it."""
        return self._journal.header.plan_at()

    @property
    def parent(self) -> Parent | None:
        """The run that this one was forked from; None if it is no fork, or was made whole."""
        return self._journal.parent

    @property
    def world_name(self) -> str:
        return self.plan.name

    @property
    def seed(self) -> int:
        return self.plan.seed

    @property
    def head(self) -> str:
        """The hash (64 hex digits) that says which run this is, its end included; its plan's before round 1."""
        end = self._journal.rounds.end_record
        if end is not None and end.head is not None:
            return end.head.hex()
        return (
            self._journal.rounds.head or genesis(self._journal.header.plans()[0][1], self._journal.header.rule)
        ).hex()

    @property
    def execution(self) -> str | None:
        """The execution digest (64 hex digits): how it was carried out. None before the first round."""
        last = self._journal.rounds.last_round
        return self._journal.rounds.summary(last).execution.hex() if last else None

    @property
    def status(self) -> Status:
        end = self._journal.rounds.end_record
        return end.reason if end is not None else "open"

    @property
    def questions(self) -> list[AskedQuestion]:
        """Questions to people that wait for an answer after the last round; none of a run that has ended."""
        rounds = self._journal.rounds
        return [] if rounds.end_record is not None else rounds.parks.asked(rounds.last_round)

    def is_question(self, number: int) -> bool:
        """Return whether a question of this number was ever asked."""
        return self._journal.rounds.parks.question(number) is not None

    @property
    def result(self) -> Any:
        """Result of the run, the JSON value that `finish` was given; else None."""
        end = self._journal.rounds.end_record
        return None if end is None or end.result is None else stored_json(end.result, "the result", self.path)

    @property
    def message(self) -> str | None:
        """Reason why the run failed; None if it did not."""
        end = self._journal.rounds.end_record
        return end.message if end is not None else None

    @property
    def versions(self) -> str:
        """JSON of all that executed the run when it was started."""
        return self._journal.header.versions

    @property
    def numeric_classes(self) -> dict[str, Promise]:
        """Numeric class of each language model, as observed where the run was carried out; the weakest if several."""
        found: dict[str, Promise] = {}
        for writer in self._journal.header.writers():
            for model, numeric in recorded_numeric(writer.versions, self.path).items():
                found[model] = weakest((numeric.promise, found.get(model, numeric.promise)))
        return found

    @property
    def promise(self) -> Promise:
        """Promise of its models when they are asked again on the same machine with the same versions."""
        return weakest(self.numeric_classes.values())

    @property
    def last_round(self) -> int:
        """The number of the last round that was committed; 0 before the first."""
        return self._journal.rounds.last_round

    def turn(self, round_: int, agent: str) -> Turn | None:
        """Return one agent's turn in one round."""
        place = self._journal.queries.agent(agent).place
        for number, record in self._journal.queries.turns(place, round_):
            return self._turn(number, record)
        return None

    def state(self, agent: str, at_round: int | None = None) -> str:
        """An agent's state after a round (default: the last), as the text that it returned."""
        last = self._journal.rounds.last_round if at_round is None else at_round
        return self._journal.world.state_at(self._journal.queries.agent(agent).place, last)

    @overload
    def to_pandas(self) -> dict[str, DataFrame]: ...

    @overload
    def to_pandas(self, table: str) -> DataFrame: ...

    def to_pandas(self, table: str | None = None) -> DataFrame | dict[str, DataFrame]:
        """One of the run's tables as a data frame of pandas, such as `records`; without a name all of them, by name.

        docs/journal.md lists the tables with their columns. Needs pandas: `pip install "turnwise[tables]"`.
        """
        if table is not None:
            return data_frame(self._journal, table)
        return {name: data_frame(self._journal, name) for name in TABLES}

    def close(self) -> None:
        self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Run of {self.world_name!r}: {self.status} after round {self.last_round}, head {self.head[:12]}>"

    def waves(self, round_: int) -> tuple[WaveRecord, ...]:
        """Waves of a round, in order: requests that a model of class `plan-bound` answered together."""
        return self._journal.rounds.waves(round_)

    # -- rows --------------------------------------------------------------------------------------------------

    @property
    def _names(self) -> list[str]:
        return [agent.name for agent in self._journal.queries.agents()]

    def _agents(self) -> Iterator[RunAgent]:
        names: list[str] = []
        for agent in self._journal.queries.agents():
            names.append(agent.name)
            parent = None if agent.parent is None else names[agent.parent]
            yield RunAgent(
                agent.name,
                agent.kind,
                agent.place,
                stored_object(agent.args, f"args of {agent.name}", self.path),
                agent.born,
                parent,
            )

    def _turn(self, round_: int, record: TurnRecord, names: list[str] | None = None) -> Turn:
        return Turn(
            round=round_,
            agent=(names or self._names)[record.place],
            turn=record.turn,
            inbox=record.inbox,
            output=record.output,
            failure=record.failure,
            effects=record.effects,
            stdout=record.stdout,
            fuel=record.fuel,
        )

    def _turns(self) -> Iterator[Turn]:
        names = self._names
        for number, record in self._journal.queries.turns():
            yield self._turn(number, record, names)

    def _failures(self) -> Iterator[Turn]:
        names = self._names
        for number in self._journal.rounds.holding("failed"):
            for turn in self._journal.rounds.round(number).turns:
                if turn.failure is not None:
                    yield self._turn(number, turn, names)

    def _messages(self) -> Iterator[Message]:
        names = self._names
        for message in self._journal.queries.messages():
            yield Message(
                seq=message.seq,
                round=message.round,
                sender=OUTSIDE if message.sender is None else names[message.sender],
                to=message.to,
                body=message.body,
                recipients=tuple([names[place] for place in message.recipients]),
                attach=message.attach,
            )

    def _messages_count(self) -> int:
        totals = self._journal.rounds.totals()
        return totals.messages + totals.inputs

    def _parks(self) -> Iterator[Park]:
        names = self._names
        for number, park in self._journal.rounds.parks.all_parks():
            asked = tuple([question.id for question in park.questions])
            yield Park(number, names[park.place], park.turn, park.inbox, asked, park.effects, park.fuel)

    def _asked(self) -> Iterator[RunQuestion]:
        names, parks = self._names, self._journal.rounds.parks
        answers = parks.first_answers()
        for number, place, asked in parks.all_questions():
            at = answers.get(asked.id)
            came, reply = (None, None) if at is None else (at[0], parks.answer_at(*at).reply)
            facts = (asked.kind, question_text(asked.request), asked.request, asked.deadline)
            yield RunQuestion(asked.id, number, names[place], *facts, came, reply)

    def _answers(self) -> Iterator[RunAnswer]:
        names = self._names
        for number, answer in self._journal.rounds.parks.all_answers():
            asked = self._journal.rounds.parks.question(answer.question)
            agent = "" if asked is None else names[asked[1]]
            yield RunAnswer(number, answer.question, agent, answered(answer.reply), answer.reply)

    def _timings(self) -> Iterator[RoundTiming]:
        names = self._names
        for times in self._journal.timings.between():
            yield RoundTiming(
                times.round,
                times.started_us,
                times.duration_us,
                {names[place]: span for place, span in times.turns.items()},
                {(names[place], nr): span for (place, nr), span in times.effects.items()},
                times.waves,
                times.commit,
            )

    def _records(self) -> Iterator[RecordedValue]:
        names = self._names
        for row in self._journal.queries.records():
            yield RecordedValue(row.round, names[row.place], row.name, row.value)
