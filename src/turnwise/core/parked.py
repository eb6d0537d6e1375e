"""A turn between its rounds: it waits for answers from outside, and its agent keeps what it will go on with.

The turn goes on from its start, with the input that it began with and the replies so far, in the first round in which
all its questions are answered or overdue.
"""

from __future__ import annotations

from hashlib import sha256

from turnwise.core.calling import CALL, CallStage, asked_by_server, asks, is_of_call, stage_after
from turnwise.core.head import park_line, text_digest
from turnwise.core.question import ASK, overdue_reply, question_of
from turnwise.core.records import EffectRecord, ParkRecord, QuestionRecord
from turnwise.core.sampling import is_nested, samples, stages_of
from turnwise.core.turn import EffectRequest
from turnwise.core.withheld import Withheld
from turnwise.errors import JournalError


class Parked:
    """Turn of one agent that waits, folded from its `ParkRecord`s and the answers that have come."""

    __slots__ = (
        "answers",
        "backlog",
        "began",
        "call_answers",
        "calls",
        "due_at",
        "effects",
        "fuel",
        "inbox",
        "parts",
        "questions",
    )

    def __init__(self, record: ParkRecord, round_: int) -> None:
        self.began = round_  # the round whose input it has
        self.inbox = record.inbox
        self.backlog = record.backlog
        self.calls: list[tuple[int, bool]] = []
        self.effects: dict[int, EffectRecord] = {}
        self.fuel = 0
        self.parts: list[ParkRecord] = []
        self.questions: dict[int, QuestionRecord] = {}  # those it waits for, by number
        self.answers: dict[int, str] = {}  # replies to these that have come, by number
        self.call_answers: dict[int, str] = {}  # by index, what calls go on with that were made again
        self.due_at: int | None = None  # round in which it goes on; None: when somebody answers
        self.add(record, round_)

    @property
    def turn(self) -> int:
        """The number of the turn among the agent's own."""
        return self.parts[0].turn

    @property
    def spent_bytes(self) -> int:
        """Bytes that its effects have used so far."""
        return self.parts[-1].spent_bytes

    def add(self, record: ParkRecord, round_: int) -> None:
        """Take what became of the turn in a round. Raises `JournalError` for what is no part of it."""
        stages = self.stages() if self.parts else {}
        self.call_answers |= {index: stage.answers for index, stage in stages.items() if stage.answers is not None}
        self.parts.append(record)
        self.effects |= {effect.index: effect for effect in record.effects}
        self.calls += record.calls
        self.fuel += record.fuel
        self.questions = {question.id: question for question in record.questions}
        self.answers = {}
        asked = {question.index for question in record.questions}
        own = sum(not is_nested(index) for index in self.effects)
        whole = own + len(asked) == sum(count for count, _ in self.calls) and self.calls
        if (
            not whole
            or not asked
            or (record.turn, record.inbox, record.backlog)
            != (
                self.turn,
                self.inbox,
                self.backlog,
            )
        ):
            raise JournalError(
                f"what is recorded of the waiting turn of place {record.place} in round {round_} is no part of it",
                actual=record,
                hint="The journal has been damaged or changed after it was written.",
            )
        self._look(round_ + 1)

    def answer(self, question: int, reply: str, round_: int) -> None:
        """Take the reply to a question, with which a round begins."""
        self.answers[question] = reply
        self._look(round_)

    def _look(self, round_: int) -> None:
        """Find the round in which the turn goes on, `round_` or later."""
        deadlines = [question.deadline for question in self.questions.values() if question.id not in self.answers]
        if None in deadlines:
            self.due_at = None
        else:
            self.due_at = max([round_, *(deadline for deadline in deadlines if deadline is not None)])

    def is_open(self, question: int, round_: int) -> bool:
        """Return whether a question can be answered by what comes before a round."""
        found = self.questions.get(question)
        if found is None or question in self.answers:
            return False
        return found.deadline is None or found.deadline >= round_

    @property
    def is_overdue(self) -> bool:
        """True if the turn goes on without an answer to all of its questions."""
        return self.due_at is not None and len(self.answers) < len(self.questions)

    def effects_so_far(self) -> list[tuple[EffectRequest, str | None]]:
        """All effects that the turn has asked for, with their replies, defaults included: what it goes on with.

        A call that has no reply yet has None: see `stages`.
        """
        found: dict[int, tuple[EffectRequest, str | None]] = {
            effect.index: (EffectRequest(effect.kind, effect.model, effect.request), effect.reply)
            for effect in self.effects.values()
            if not is_nested(effect.index)
        }
        stages = self.stages()
        for question in self.questions.values():
            stage = stages.get(question.index)
            if stage is not None:
                found[question.index] = EffectRequest(CALL, None, stage.request), stage.reply
                continue
            reply = self.answers.get(question.id)
            if reply is None:
                reply = _overdue(question)
            found[question.index] = EffectRequest(question.kind, None, question.request), reply
        return [found[index] for index in sorted(found)]

    def stages(self) -> dict[int, CallStage]:
        """Return how the calls go on at whose places people have answered, or whose servers ask people, by index.

        Of texts that were taken out of the journal nothing follows: such a turn is taken as it is recorded.
        """
        found: dict[int, CallStage] = {}
        for question in self.questions.values():
            reply = self.answers.get(question.id)
            if reply is None or Withheld in (type(reply), type(question.request)):
                continue
            if question.kind == ASK and is_of_call(question.request):
                found[question.index] = stage_after(question.request, reply)
            elif question.kind == CALL and (asks(reply) or samples(reply)):
                found[question.index] = CallStage(question.request, outcome=reply)
        return found

    def times_asked(self, index: int) -> int:
        """Return how often the server of a call has asked people."""
        asked = [question for part in self.parts for question in part.questions if question.index == index]
        return sum(question.kind == ASK and asked_by_server(question.request) for question in asked)

    def stage(self, index: int) -> int:
        """Return how often a call has come to something else than its reply: its server has asked people, or models."""
        return self.times_asked(index) + stages_of(self.effects.values(), index)

    def digest(self) -> str:
        """SHA-256 (hex) of all of it that decides how the turn goes on."""
        lines = [str(self.began), *[park_line(part) for part in self.parts]]
        lines += [f"{question} {text_digest(reply)}" for question, reply in sorted(self.answers.items())]
        return sha256("\n".join(lines).encode()).hexdigest()


def _overdue(question: QuestionRecord) -> str:
    try:
        return overdue_reply(question_of(question.request))
    except ValueError as error:
        raise JournalError(
            f"question {question.id} is none: {error}",
            actual=question.request,
            hint="The journal has been damaged or changed after it was written.",
        ) from error
