"""Questions that wait for somebody outside, mostly people: as they were asked, and what became of them."""

from __future__ import annotations

import shlex
from functools import cached_property
from typing import Any, Final, Literal

from turnwise.core.canonical import canonical
from turnwise.core.question import ASK, Question, is_overdue_reply, question_of
from turnwise.core.records import EffectRecord, QuestionRecord
from turnwise.history.outside_changes import answer_text
from turnwise.journal.journal import Journal
from turnwise.monitor.answers.names import AgentNames
from turnwise.monitor.answers.texts import CHARS_WHOLE_MAX, shown

QUESTIONS_MAX: Final = 100
"""Questions to people that a summary names."""

Fate = Literal["answered", "overdue", "waits", "left"]
"""End of a question: answered; overdue, its deadline has passed; waits; left, its turn or run was over before."""


class QuestionRows:
    """Questions of a journal as rows of a page. Which have answers, and which wait, is read once, if need be."""

    def __init__(self, journal: Journal, names: AgentNames) -> None:
        self._journal = journal
        self._names = names

    def row(self, round_: int, place: int, record: QuestionRecord) -> dict[str, Any]:
        """A question that was asked in a round, with its answer, or what became of it without one."""
        question = asked_of(record)
        at = self._answers.get(record.id)
        reply = None if at is None else self._journal.rounds.parks.answer_at(*at).reply
        return {
            "id": record.id,
            "round": round_,
            "agent": self._names.of(place),
            "kind": record.kind,
            "text": shown(question.text, CHARS_WHOLE_MAX),
            "schema": None if question.schema is None else shown(canonical(question.schema), CHARS_WHOLE_MAX),
            "deadline": record.deadline,
            "default": None if question.default is None else shown(question.default),
            "fate": self._fate(record) if at is None else "answered",
            "answered": None if at is None else at[0],
            "answer": None if reply is None else shown(reply_text(record.kind, reply), CHARS_WHOLE_MAX),
        }

    def answer(self, number: int, reply: str) -> dict[str, Any] | None:
        """An answer that came, with whom it answers; None for one to no question of this run."""
        asked = self._journal.rounds.parks.question(number)
        if asked is None:
            return None
        round_, place, record = asked
        text = shown(reply_text(record.kind, reply), CHARS_WHOLE_MAX)
        return {"question": number, "asked": round_, "agent": self._names.of(place), "kind": record.kind, "text": text}

    def _fate(self, record: QuestionRecord) -> Fate:
        if record.deadline is not None and record.deadline <= self._journal.rounds.last_round:
            return "overdue"
        return "waits" if record.id in self._open else "left"

    @cached_property
    def _answers(self) -> dict[int, tuple[int, int]]:
        return self._journal.rounds.parks.first_answers()

    @cached_property
    def _open(self) -> frozenset[int]:
        rounds = self._journal.rounds
        if rounds.end_record is not None:
            return frozenset()
        return frozenset([record.id for _, _, record in rounds.parks.open(rounds.last_round)])


def asked_of(record: QuestionRecord) -> Question:
    """The question of a record; of another kind than `ask`, its request as the text."""
    if record.kind == ASK:
        try:
            return question_of(record.request)
        except ValueError:
            pass  # told as it stands: the page shows, and proves nothing
    return Question(str(record.request))


def reply_text(kind: str, reply: str) -> str:
    """The answer in a reply: of a person in words, of anything else the reply as it stands."""
    return answer_text(reply) if kind == ASK else str(reply)


def defaults(effects: tuple[EffectRecord, ...]) -> list[dict[str, Any]]:
    """Questions that nobody has answered in time, with what was taken instead."""
    return [
        {"text": shown(asked_of(QuestionRecord(0, effect.index, ASK, effect.request)).text), "answer": shown(answer)}
        for effect in effects
        if effect.kind == ASK and is_overdue_reply(effect.reply)
        for answer in [answer_text(effect.reply)]
    ]


def open_questions(journal: Journal) -> list[dict[str, Any]]:
    """Questions to people that wait, each with the command that answers it: the page itself cannot."""
    found = journal.rounds.parks.asked(journal.rounds.last_round)[:QUESTIONS_MAX]
    return [
        {
            "id": asked.id,
            "agent": shown(asked.agent),
            "text": shown(asked.text, CHARS_WHOLE_MAX),
            "schema": None if asked.schema is None else shown(canonical(asked.schema), CHARS_WHOLE_MAX),
            "deadline": asked.deadline,
            "default": None if asked.question.default is None else shown(asked.question.default),
            "command": f"turnwise answer {shlex.quote(str(journal.path))} {asked.id} ANSWER",
        }
        for asked in found
    ]
