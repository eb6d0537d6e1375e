"""Answers and messages for a run that another process plays, or that is stopped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from turnwise.api.places import places
from turnwise.orchestrator.answering import leave_answer, leave_message
from turnwise.system.paths import StrPath


def answer(journal: StrPath, question: int, value: Any, *, parents: Sequence[StrPath] = ()) -> bool:
    """Answer a question of a run that another process plays, or that is stopped and goes on by `resume`.

    `value` is a JSON value, `question` the number; `Live.answer` is for a run of this process. Returns False if it has
    no effect, since the question was answered before or its turn is over. Raises `UsageError` for what is no answer.
    `parents` are as those of `open`.
    """
    return leave_answer(Path(journal), question, value, places(parents))


def send(journal: StrPath, to: str, body: str, *, parents: Sequence[StrPath] = ()) -> None:
    """Send a message to an agent or a group of a run, in this process or another, going on or stopped.

    The message is on disk when this returns, and is read in the round that begins next, once. Raises `UsageError` for
    what cannot be a message, for nobody, and when the run has ended.
    """
    leave_message(Path(journal), to, body, places(parents))
