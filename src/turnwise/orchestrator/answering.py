"""Answers and messages for runs: checked before anything is done with them, and left for a run of another process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from turnwise.core.question import AskedQuestion
from turnwise.core.state import WorldState
from turnwise.errors import UsageError
from turnwise.journal import Journal
from turnwise.orchestrator import outside_box


def check_answer(asked: AskedQuestion, value: Any) -> None:
    """Raise `UsageError` if a JSON value is no answer to a question, with what is wrong."""
    problem = asked.question.refusal(value)
    if problem is not None:
        raise UsageError(
            f"this is no answer to question {asked.id} of {asked.agent}: {problem}",
            where="answer",
            expected=asked.schema,
            actual=value,
            hint="The question stays open: answer again.",
        )


def unknown_question(number: int) -> UsageError:
    """Make the error for a number that no question of the run has."""
    return UsageError(
        f"there is no question {number} in this run",
        where="answer",
        actual=number,
        hint="turnwise answer JOURNAL lists the questions that wait.",
    )


def leave_answer(journal: Path, number: int, value: Any, parents: Sequence[Path] = ()) -> bool:
    """Leave the answer to a question where the run finds it, whether it is going on or stopped.

    Return False if it has no effect: the question was answered before, or its turn is over. Raises `UsageError` for a
    number that no question has, and for what is no answer to it.
    """
    with Journal.open(journal, parents=parents) as file:
        asked = {entry.id: entry for entry in file.machine.at().questions()} if file.rounds.end_record is None else {}
        if number not in asked:
            if file.rounds.parks.question(number) is None:
                raise unknown_question(number)
            return False
        check_answer(asked[number], value)
        return outside_box.put_answer(file.path, number, asked[number].asked, value)


def check_message(world: WorldState, to: str, body: str) -> None:
    """Raise `UsageError` if nobody of a world is called so, or if this cannot be a message."""
    _check_text("the body of a message", body)
    _check_text("the name of who gets a message", to)
    agent = world.by_name.get(to)
    if to not in world.groups and (agent is None or not agent.alive):
        raise UsageError(
            f"there is no agent or group called {to!r}",
            where="send",
            actual=to,
            hint="Name an agent that lives, or a group of the world.",
        )


def run_has_ended() -> UsageError:
    """Make the error for a message to a run that is over."""
    return UsageError("the run has ended", where="send", hint="Start another run, or fork this one.")


def no_round_is_left(round_: int) -> UsageError:
    """Make the error for a message that comes after the last round in which it could be read."""
    return UsageError(
        f"nobody can read it: round {round_:,} is the last",
        where="send",
        hint="Start a run with more rounds: rounds_max of [world], or --rounds.",
    )


def leave_message(journal: Path, to: str, body: str, parents: Sequence[Path] = ()) -> None:
    """Leave a message where the run finds it, whether it is going on or stopped; it is on disk when this returns.

    The round that begins next begins with it, and it comes once, whatever happens to the run meanwhile. Raises
    `UsageError` for what cannot be a message, for nobody, and when the run has ended.
    """
    with Journal.open(journal, parents=parents) as file:
        if file.rounds.end_record is not None:
            raise run_has_ended()
        machine = file.machine.at()
        check_message(machine.world, to, body)
        if machine.round >= machine.plan.rounds_max:
            raise no_round_is_left(machine.round)
        outside_box.put_message(file.path, to, body)
        if file.rounds.end_record is not None:  # meanwhile
            raise run_has_ended()


def _check_text(what: str, value: object) -> None:
    """Raise `UsageError` for what is not text that can be stored."""
    if not isinstance(value, str):
        raise UsageError(
            f"{what} is text, not {type(value).__name__}",
            where="send",
            expected="str",
            actual=type(value).__name__,
            hint="Send JSON as text: json.dumps(value).",
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{what} has half a surrogate pair at character {error.start + 1:,}, which is no text",
            where="send",
            hint="Decode the text that it was made from as UTF-8, or replace what is wrong in it.",
        ) from None
