"""A run as the page shows it that answers: where it is, and which questions wait for somebody."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from turnwise.core.canonical import canonical
from turnwise.core.question import AskedQuestion
from turnwise.errors import UsageError
from turnwise.journal.journal import Journal
from turnwise.monitor.answers.summary import pulse
from turnwise.monitor.answers.texts import CHARS_WHOLE_MAX, shown
from turnwise.orchestrator.outside_box import answers_given

QUESTIONS_MAX: Final = 100
"""Questions of one answer, and as many of others; all are counted."""
OTHER_CHARS_MAX: Final = 200
"""Characters of a question that this page does not answer."""


def check_name(journal: Journal, name: str | None) -> None:
    """Raise UsageError if no agent has a name; None stands for all."""
    if name is not None and name not in journal.grid.names():
        raise UsageError(
            f"there is no agent {name!r} in this run", where="--as", actual=name, hint="turnwise log names all agents."
        )


def standing(journal: Journal, name: str | None) -> dict[str, Any]:
    """Facts about the run, the questions that this page answers, and those that it does not.

    With `name`, it answers for that agent alone. A question that somebody has answered already, which the run has not
    taken yet, has the answer as `given`.
    """
    plan = journal.header.plan_at()
    end = journal.rounds.end_record
    asked = [] if end is not None else journal.rounds.parks.asked(journal.rounds.last_round)
    own = [one for one in asked if name in (None, one.agent)]
    others = [one for one in asked if name not in (None, one.agent)]
    given = answers_given(journal.path) if own else {}
    return {
        **pulse(journal),
        "world": plan.name,
        "seed": plan.seed,
        "as": name,
        "path": str(journal.path),
        "result": None if end is None or end.result is None else shown(end.result, CHARS_WHOLE_MAX),
        "message": None if end is None or end.message is None else shown(end.message),
        "played": Journal.is_written(journal.path),
        "questions": [_question(one, given) for one in own[:QUESTIONS_MAX]],
        "questions_hidden": max(0, len(own) - QUESTIONS_MAX),
        "others": [_other(one, journal.path) for one in others[:QUESTIONS_MAX]],
        "others_hidden": max(0, len(others) - QUESTIONS_MAX),
    }


def _question(asked: AskedQuestion, given: Mapping[tuple[int, str], Any]) -> dict[str, Any]:
    key = asked.id, asked.asked
    return {
        "id": asked.id,
        "agent": asked.agent,
        "text": shown(asked.text, CHARS_WHOLE_MAX),
        "schema": asked.schema,
        "deadline": asked.deadline,
        "default": None if asked.question.default is None else shown(asked.question.default),
        "given": shown(canonical(given[key])) if key in given else None,
    }


def _other(asked: AskedQuestion, path: Path) -> dict[str, Any]:
    command = f"turnwise answer {shlex.quote(str(path))} {asked.id} ANSWER"
    return {"id": asked.id, "agent": asked.agent, "text": shown(asked.text, OTHER_CHARS_MAX), "command": command}
