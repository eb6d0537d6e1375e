"""Turns that wait for answers from outside, their questions, and the answers that came."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from turnwise.core.question import ASK, AskedQuestion, overdue_reply, question_of
from turnwise.core.records import AnswerRecord, EffectRecord, ParkRecord, QuestionRecord
from turnwise.core.snapshot import Snapshot
from turnwise.core.state import asked_digest
from turnwise.journal.file.errors import damaged
from turnwise.journal.read.columns import ANSWER, EFFECT, PARK, QUESTION
from turnwise.journal.read.decode import Row, by_turn, pages
from turnwise.journal.read.query import PAGE_ROWS, Query
from turnwise.journal.read.waits import Wait, waits

_CALLS_MAX: Final = 1_000_000

_LATEST: Final = f"""
WITH latest AS MATERIALIZED (SELECT place, max(round) AS round FROM parks WHERE round <= ?1 GROUP BY place)
SELECT * FROM ({QUESTION}) JOIN latest USING (place, round)
WHERE deadline IS NULL OR deadline > ?1 ORDER BY id
"""
"""Questions of the turns that were left waiting last at each place, but for those that are overdue: one look at each
table, however many wait."""


class ParkReader:
    """Reads parks. A journal of an older format has none. Raises JournalError for a row that cannot be one."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._found = False

    @property
    def _kept(self) -> bool:
        """True if the file has the tables: one of an older format gets them when its run is continued."""
        self._found = self._found or self._query.row("SELECT 1 FROM sqlite_master WHERE name = 'parks'") is not None
        return self._found

    def places(self, first: int, last: int) -> set[tuple[int, int]]:
        """Rounds and places of the turns that were left waiting in some rounds."""
        if not self._kept:
            return set()
        return set(self._query.rows("SELECT round, place FROM parks WHERE round BETWEEN ? AND ?", first, last))

    def between(self, first: int, last: int, place: int | None = None) -> dict[int, tuple[ParkRecord, ...]]:
        """Turns that were left waiting, by round, of one place if asked."""
        if not self._kept:
            return {}
        where = "WHERE round BETWEEN ? AND ?" + ("" if place is None else " AND place = ?")
        at = (first, last) if place is None else (first, last, place)
        rows = self._query.rows(f"{PARK} {where} ORDER BY round, place", *at)
        if not rows:
            return {}
        decoder = self._query.decoder
        asked = by_turn(self._query.rows(f"{QUESTION} {where} ORDER BY round, place, nr", *at))
        select = EFFECT.format(tokens="tokens")
        of_parks = "(round, place) IN (SELECT round, place FROM parks)"
        effect_rows = self._query.rows(f"{select} {where} AND {of_parks} ORDER BY round, place, nr", *at)
        decoder.prefetch(effect_rows, 5, 6, 7)
        effects = by_turn(effect_rows)
        found: dict[int, list[ParkRecord]] = {}
        for row in rows:
            key = row[0], row[1]
            made = self._park(row, map(decoder.effect, effects.pop(key, [])), asked.pop(key, []))
            found.setdefault(row[0], []).append(made)
        if effects or asked:
            raise damaged(self._query.path, f"rounds {first} to {last} hold questions without the turn that waits")
        return {round_: tuple(parks) for round_, parks in found.items()}

    def parts(self, place: int, turn: int, before: int) -> list[tuple[int, ParkRecord]]:
        """Parts of a turn of a place that lie before a round, with their rounds: none if it began in that round.

        A turn that was begun again, since a fork has changed what it was given, has those from there on.
        """
        found: list[tuple[int, ParkRecord]] = []
        if not self._kept:
            return found
        select = "SELECT round FROM parks WHERE place = ? AND turn = ? AND round < ? ORDER BY round"
        for (round_,) in self._query.rows(select, place, turn, before):
            for park in self.between(round_, round_, place).get(round_, ()):
                if len(park.effects) + len(park.questions) == sum(count for count, _ in park.calls):
                    found.clear()  # a part that follows another has the answers to its questions, too
                found.append((round_, park))
        return found

    def began(self, place: int, turn: int, round_: int) -> int:
        """The round in which a turn began that goes on in a round, or ends there."""
        parts = self.parts(place, turn, round_)
        return parts[0][0] if parts else round_

    def open(self, last: int) -> list[tuple[int, int, QuestionRecord]]:
        """Questions that wait for an answer after a round, the last that is committed, with round and place."""
        if not self._kept:
            return []
        rows = self._query.rows(_LATEST, last)
        if not rows:
            return []
        since = "SELECT DISTINCT question FROM answers WHERE round > ?"
        first = min([self._query.decoder.integer(row[0], "round of a question") for row in rows])
        answered = {number for (number,) in self._query.rows(since, first)}
        is_over: dict[int, bool] = {}
        found: list[tuple[int, int, QuestionRecord]] = []
        for row in rows:
            round_, place, number = row[0], row[1], row[2]
            if number in answered:
                continue
            if place not in is_over:
                is_over[place] = self._is_over(place, round_, last)
            if not is_over[place]:
                found.append((round_, place, self._question(row)))
        return sorted(found, key=lambda entry: entry[2].id)

    def _is_over(self, place: int, round_: int, last: int) -> bool:
        """Return whether a turn that waits since a round, with questions that nobody has answered, does no more."""
        moved = (
            "SELECT 1 FROM rounds CROSS JOIN turns USING (round) "
            "WHERE turns.place = ? AND rounds.round > ? AND rounds.round <= ? LIMIT 1"
        )
        gone = "SELECT 1 FROM stops WHERE place = ? AND round <= ?"
        changed = "SELECT 1 FROM changes WHERE what = 'stop' AND target = ? AND round <= ?"
        statements = ((moved, place, round_, last), (gone, place, last), (changed, place, last))
        return any(self._query.row(*statement) is not None for statement in statements)

    def asked(self, last: int) -> list[AskedQuestion]:
        """Questions to people that wait for an answer after a round, the last that is committed."""
        found = []
        for round_, place, record in self.open(last):
            if record.kind == ASK:
                row = self._query.row("SELECT name FROM agents WHERE place = ?", place) or ("",)
                digest = self.asked_digest(round_, place, record)
                try:
                    question = question_of(record.request)
                except ValueError as error:
                    raise damaged(self._query.path, f"question {record.id} is none: {error}") from error
                found.append(AskedQuestion(record.id, row[0], question, record.deadline, digest))
        return found

    def answers(self, first: int, last: int) -> dict[int, tuple[AnswerRecord, ...]]:
        """Answers by the round that began with them."""
        if not self._kept:
            return {}
        decoder = self._query.decoder
        rows = self._query.rows(f"{ANSWER} WHERE round BETWEEN ? AND ? ORDER BY round, nr", first, last)
        decoder.prefetch(rows, 4)
        return {
            round_: tuple([self._answer(row) for row in decoder.counted(of, 2)])
            for (round_, _), of in by_turn(rows).items()
        }

    def question(self, number: int) -> tuple[int, int, QuestionRecord] | None:
        """Return the round, the place and the question of a number; None if there is none."""
        if not self._kept:
            return None
        row = self._query.row(f"{QUESTION} WHERE id = ?", number)
        return None if row is None else (row[0], row[1], self._question(row))

    def first_answers(self) -> dict[int, tuple[int, int]]:
        """Return where the first answer to each question stands that was answered: its round, and its number there."""
        if not self._kept:
            return {}
        rows = self._query.rows("SELECT question, round, nr FROM answers ORDER BY round DESC, nr DESC")
        return {question: (round_, nr) for question, round_, nr in rows}

    def answer_at(self, round_: int, nr: int) -> AnswerRecord:
        """Return the answer of a number among those of a round."""
        row = self._query.row(f"{ANSWER} WHERE round = ? AND nr = ?", round_, nr)
        if row is None:
            raise damaged(self._query.path, f"answer {nr} of round {round_} is missing")
        return self._answer(row)

    def replies(self, park: ParkRecord, first: Mapping[int, tuple[int, int]]) -> list[tuple[QuestionRecord, str]]:
        """Return the questions of a turn that has gone on since, with the replies that it went on with.

        `first` are the first answers of the run. A question without one was overdue, and has its default.
        """
        found = []
        for question in park.questions:
            at = first.get(question.id)
            reply = overdue_reply(question_of(question.request)) if at is None else self.answer_at(*at).reply
            found.append((question, reply))
        return found

    def all_questions(self) -> Iterator[tuple[int, int, QuestionRecord]]:
        """Yield all questions that were ever asked, with round and place, in order of number."""
        if not self._kept:
            return

        def fetch(after: int) -> list[Row]:
            return self._query.rows(
                f"SELECT id, * FROM ({QUESTION}) WHERE id > ? ORDER BY id LIMIT ?", after, PAGE_ROWS
            )

        for _, *row in pages(fetch, 0, PAGE_ROWS):
            yield row[0], row[1], self._question(tuple(row))

    def all_answers(self) -> Iterator[tuple[int, AnswerRecord]]:
        """Yield all answers, with the rounds that begin with them, in order."""
        if self._kept:
            for (round_,) in self._query.rows("SELECT DISTINCT round FROM answers ORDER BY round"):
                yield from ((round_, answer) for answer in self.answers(round_, round_).get(round_, ()))

    def all_parks(self, place: int | None = None) -> Iterator[tuple[int, ParkRecord]]:
        """Yield the turns that were left waiting, of one place if asked, with their rounds, in order."""
        if self._kept:
            of, at = ("", ()) if place is None else ("WHERE place = ?", (place,))
            for (round_,) in self._query.rows(f"SELECT DISTINCT round FROM parks {of} ORDER BY round", *at):
                yield from ((round_, park) for park in self.between(round_, round_, place).get(round_, ()))

    def counts(self) -> tuple[int, int, int]:
        """Count the turns that were left waiting, once for each round in which they were; questions; and answers."""
        if not self._kept:
            return 0, 0, 0
        row = self._query.row(
            "SELECT (SELECT count(*) FROM parks), (SELECT count(*) FROM questions), (SELECT count(*) FROM answers)"
        )
        return row or (0, 0, 0)

    def waits(self, first: int, last: int, places: Sequence[int], most: int) -> tuple[list[Wait], int]:
        """Waits that lie in some rounds and places, at most `most`, in order; and how many there are."""
        if not self._kept:
            return [], 0
        changed = self._query.row("SELECT 1 FROM changes LIMIT 1") is not None
        return waits(self._query, first, last, places, most, begun_anew=changed)

    def asked_digest(self, round_: int, place: int, question: QuestionRecord) -> str:
        """SHA-256 (hex) of a question, by which it is told from others of its number (`core.state.asked_digest`)."""
        row = self._query.row("SELECT turn FROM parks WHERE round = ? AND place = ?", round_, place)
        agent = self._query.row("SELECT name FROM agents WHERE place = ?", place)
        if row is None or agent is None:
            raise damaged(self._query.path, f"nobody waits for question {question.id}")
        return asked_digest(str(agent[0]), row[0], question)

    def answer_to(self, number: int) -> tuple[int, AnswerRecord] | None:
        """Return the answer to a question, and its round; None if there is none."""
        if not self._kept:
            return None
        row = self._query.row(f"{ANSWER} WHERE question = ? ORDER BY round LIMIT 1", number)
        return None if row is None else (row[0], self._answer(row))

    def of_snapshot(self, snapshot: Snapshot) -> list[tuple[int, ParkRecord | AnswerRecord]]:
        """Everything that became of the turns that wait where a snapshot was taken, with its rounds, in order."""
        found: list[tuple[int, int, ParkRecord | AnswerRecord]] = []
        for place, began in snapshot.waiting:
            for round_, parks in self.between(began, snapshot.round, place).items():
                found += [(round_, 1, park) for park in parks]
        asked = {question.id for _, _, park in found if isinstance(park, ParkRecord) for question in park.questions}
        rounds = [round_ for round_, _, _ in found]
        for round_, answers in self.answers(min(rounds), snapshot.round).items() if rounds else ():
            found += [(round_, 0, answer) for answer in answers if answer.question in asked]
        found.sort(key=lambda entry: entry[:2])
        return [(round_, record) for round_, _, record in found]

    def _park(self, row: Row, effects: Iterable[EffectRecord], questions: list[Row]) -> ParkRecord:
        """round, place, turn, inbox, backlog, calls, spent, fuel, executions"""
        decoder = self._query.decoder
        what = f"of the waiting turn of place {row[1]} in round {row[0]}"
        calls = decoder.json(row[5], f"calls {what}")
        if not isinstance(calls, list) or not all(map(_is_call, calls)):
            raise damaged(self._query.path, f"calls {what} are not pairs of a number and whether it was a list")
        if not questions:
            raise damaged(self._query.path, f"there are no questions {what}")
        return ParkRecord(
            decoder.integer(row[1], f"place {what}"),
            decoder.integer(row[2], f"turn {what}"),
            () if row[3] is None else decoder.numbers(row[3], "messages", f"inbox {what}"),
            decoder.integer(row[4], f"backlog {what}"),
            tuple(effects),
            tuple(map(self._question, questions)),
            tuple([(count, many) for count, many in calls]),
            decoder.integer(row[6], f"spent {what}"),
            decoder.integer(row[7], f"fuel {what}"),
            decoder.integer(row[8], f"executions {what}"),
        )

    def _question(self, row: Row) -> QuestionRecord:
        """round, place, id, nr, kind, request, deadline"""
        decoder = self._query.decoder
        what = f"of question {row[2]}"
        return QuestionRecord(
            decoder.integer(row[2], "a question's number"),
            decoder.integer(row[3], f"nr {what}"),
            decoder.text(row[4], f"kind {what}"),
            decoder.value(row[5], f"request {what}"),
            None if row[6] is None else decoder.integer(row[6], f"deadline {what}"),
        )

    def _answer(self, row: Row) -> AnswerRecord:
        """round, 0, nr, question, reply"""
        decoder = self._query.decoder
        number = decoder.integer(row[3], f"question of an answer of round {row[0]}")
        return AnswerRecord(number, decoder.value(row[4], f"answer to question {number}"))


def _is_call(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 2:
        return False
    return type(value[0]) is int and 1 <= value[0] <= _CALLS_MAX and type(value[1]) is bool
