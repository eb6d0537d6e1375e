"""Forms of results, for their schemas; a result may have more than is named here."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class _Result(BaseModel):
    model_config = ConfigDict(extra="allow")


class ProblemResult(_Result):
    """One thing that is wrong with a world."""

    where: str
    message: str
    hint: str
    warning: bool


class CheckResult(_Result):
    """Everything that is wrong with a world."""

    ok: bool = Field(description="Whether it can be run.")
    problems: list[ProblemResult]


class PlayResult(_Result):
    """A run, as far as it has come."""

    status: str = Field(description="finished, quiet, rounds_max, …; open: it was stopped, and resume goes on.")
    head: str | None = Field(description="Names everything that happened: equal heads are the same run.")
    rounds: int | None
    turns: int | None
    result: Any = None
    journal: str | None = Field(description="The run's file, for the other tools.")


class LogResult(_Result):
    """The turns of a run."""

    log: list[dict[str, Any]] = Field(description="Rounds with their turns: inbox, effects, what was sent, states.")


class WhyResult(_Result):
    """A tree of causes as a list; `of` is the id of what one is a cause of."""

    causes: list[dict[str, Any]]
    hidden: int


class DiffResult(_Result):
    """Two runs beside each other."""

    equal: bool
    first: dict[str, Any] | None = Field(description="The first turn that differs.")
    turns: list[dict[str, Any]]
    reached: dict[str, int] = Field(description="Agents that the difference has reached, and in which round.")


class ListResult(_Result):
    """Worlds and journals of the folder."""

    worlds: list[str]
    runs: list[dict[str, Any]]
