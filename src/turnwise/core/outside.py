"""Everything that is to come from outside a run: messages, changes, and answers to questions."""

from __future__ import annotations

from collections.abc import Iterable

from turnwise.core.events import Answer, Input, OutsideChange
from turnwise.core.records import AnswerRecord, ChangeRecord, MessageRecord, RoundRecord
from turnwise.core.state import WorldState
from turnwise.errors import DifferenceFound


class Outside:
    """Queue of what waits for the round that begins next, or for a later one. Order is that of arrival."""

    def __init__(self, inputs: Iterable[Input]) -> None:
        self.inputs = list(inputs)
        self.changes: list[ChangeRecord] = []
        self.answers: list[Answer] = []

    def put(self, event: Input | OutsideChange | Answer) -> None:
        """Take an event."""
        match event:
            case Input():
                self.inputs.append(event)
            case Answer():
                self.answers.append(event)
            case OutsideChange(change):
                self.changes.append(change)

    @property
    def is_empty(self) -> bool:
        """True if nothing is to come."""
        return not (self.inputs or self.changes or self.answers)

    def is_due(self, world: WorldState) -> bool:
        """Return whether a round can begin with any of it. An answer that has no question begins none."""
        return bool(self.inputs or self.changes) or any(
            world.is_asked(entry.question, max(entry.after, world.round) + 1, entry.asked) for entry in self.answers
        )

    @property
    def later(self) -> int | None:
        """The earliest round after which a message or an answer comes."""
        return min([*(entry.after for entry in self.inputs), *(entry.after for entry in self.answers)], default=None)

    def take_inputs(self, world: WorldState, before: int) -> tuple[MessageRecord, ...]:
        """Inputs become messages that were sent in round `before`, by nobody, and are delivered."""
        first = world.message_seq_next
        due = [entry for entry in self.inputs if entry.after <= before]
        messages = tuple(
            [
                MessageRecord(seq, before, None, entry.to, entry.body, world.recipients(entry.to, None))
                for seq, entry in enumerate(due, first)
            ]
        )
        self.inputs = [entry for entry in self.inputs if entry.after > before]
        world.deliver(messages)
        return messages

    def take_changes(self, world: WorldState) -> tuple[ChangeRecord, ...]:
        """Changes are carried out."""
        changes, self.changes = tuple(self.changes), []
        world.change(changes)
        return changes

    def take_answers(self, world: WorldState, before: int) -> tuple[AnswerRecord, ...]:
        """Answers to questions that are still open after round `before`; what answers nothing is dropped."""
        due = [entry for entry in self.answers if entry.after <= before]
        self.answers = [entry for entry in self.answers if entry.after > before]
        taken: list[AnswerRecord] = []
        for entry in due:
            if world.is_asked(entry.question, before + 1, entry.asked):
                taken.append(AnswerRecord(entry.question, entry.reply))
                world.take_answer(taken[-1], before + 1)
        return tuple(taken)

    def take_late(self, world: WorldState, round_: int) -> tuple[MessageRecord, ...]:
        """Inputs that came while the last round was in progress: dead letters of this round, since none follows."""
        late = [entry for entry in self.inputs if entry.after <= round_]
        self.inputs = [entry for entry in self.inputs if entry.after > round_]
        first = world.message_seq_next
        messages = tuple(
            [MessageRecord(seq, round_, None, entry.to, entry.body, ()) for seq, entry in enumerate(late, first)]
        )
        world.deliver(messages)
        return messages

    def check(self, record: RoundRecord, world: WorldState) -> None:
        """Compare what was to come before a round with what the round says that came. It does not wait any longer."""
        due = [entry for entry in self.inputs if entry.after < record.round]
        self.inputs = [entry for entry in self.inputs if entry.after >= record.round]
        changes, self.changes = self.changes, []
        answers = self._answers_of(record.round, world)
        expected = [(entry.to, entry.body) for entry in due], tuple(changes), answers
        actual = (
            [(message.to, message.body) for message in record.inputs[: len(due)]],
            record.changes if changes else (),
            record.answers[: len(answers)],
        )
        if expected != actual:
            raise DifferenceFound(
                f"what came from outside before round {record.round} is not what was to come",
                expected=expected,
                actual=actual,
                hint="The journal has been damaged or changed after it was written.",
            )

    def _answers_of(self, round_: int, world: WorldState) -> tuple[AnswerRecord, ...]:
        """The answers that a round must begin with: those that are due, and whose questions are open."""
        due = [entry for entry in self.answers if entry.after < round_]
        self.answers = [entry for entry in self.answers if entry.after >= round_]
        found: dict[int, AnswerRecord] = {}
        for entry in due:
            if entry.question not in found and world.is_asked(entry.question, round_, entry.asked):
                found[entry.question] = AnswerRecord(entry.question, entry.reply)
        return tuple(found.values())
