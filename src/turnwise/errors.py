"""Exceptions of Turnwise, sorted by whose fault they are.

One root, and below it four kinds: the user's mistake, the agent's fault, the environment's failure, and a
broken invariant of ours. Every error says what happened, where, and what to do next; expected and actual values
are fields as well as text, so that programs need not parse messages.
"""

from __future__ import annotations

from typing import ClassVar


class TurnwiseError(Exception):
    """Root of all errors raised by Turnwise.

    `where` names a file and key (``world.toml: agents.editor.source``), `hint` says what to do. `exit_code` is what
    the command line returns for it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        expected: object = None,
        actual: object = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.expected = expected
        self.actual = actual
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}\n  {self.hint}" if self.hint else text


class UsageError(TurnwiseError):
    """The user's mistake: a wrong option, file or value. Nothing has been changed."""

    exit_code = 2


class WorldError(UsageError):
    """A world that cannot be run. `problems` lists everything that is wrong, not only the first."""

    def __init__(self, problems: list[Problem]) -> None:
        count = len(problems)
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
        self.count = count


class Problem:
    """One thing that is wrong with a world: where, what, and what to do about it.

    A warning keeps no world from running, and may be meant.
    """

    __slots__ = ("hint", "is_warning", "message", "where")

    def __init__(self, where: str, message: str, hint: str, *, is_warning: bool = False) -> None:
        self.where = where
        self.message = message
        self.hint = hint
        self.is_warning = is_warning

    def __str__(self) -> str:
        return f"{self.where}: {self.message}\n  {self.hint}"

    def __repr__(self) -> str:
        warning = ", is_warning=True" if self.is_warning else ""
        return f"Problem({self.where!r}, {self.message!r}, {self.hint!r}{warning})"


class ModelError(UsageError):
    """A model folder that cannot be loaded or used as asked."""


class JournalError(UsageError):
    """A journal that cannot be opened: foreign, newer, damaged, in use, or not writable."""


class RunClosed(UsageError):
    """The live run has been closed, or stopped at once. What was committed can be resumed."""

    def __init__(self) -> None:
        super().__init__(
            "the run has been closed", hint="What was committed is safe: turnwise.resume(journal) goes on with it."
        )


class RunFailed(TurnwiseError):
    """The run ended because an agent failed and the world says ``on_failure = "stop"``."""


class EnvironmentFailure(TurnwiseError):
    """The machine failed the run: a full disk, a worker that dies again and again. The run can be resumed."""


class DifferenceFound(TurnwiseError):
    """Two runs that should be equal are not. Names the first difference."""

    exit_code = 3


class InvariantError(TurnwiseError):
    """A promise of our own code is broken. This is a defect in Turnwise; please report it."""
