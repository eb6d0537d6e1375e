"""Differences of two runs, and what a turn of one came from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from turnwise.api.places import places
from turnwise.history.diff import Diff
from turnwise.history.diff import diff as diff_journals
from turnwise.history.why import Cause
from turnwise.history.why import why as why_in_journal
from turnwise.system.paths import StrPath


def diff(left: StrPath, right: StrPath, *, agent: str | None = None, parents: Sequence[StrPath] = ()) -> Diff:
    """Compare two journals turn by turn: the first difference, and what it reached.

    `agent` keeps one agent's turns. `parents` are as those of `open`, for both.
    """
    return diff_journals(Path(left), Path(right), agent, parents=places(parents))


def why(
    journal: StrPath,
    agent: str | None = None,
    round: int | None = None,  # noqa: A002 - as it is called everywhere
    *,
    message: int | None = None,
    record: str | None = None,
    depth: int = 3,
    parents: Sequence[StrPath] = (),
) -> Cause:
    """Follow a turn, a value that it recorded, or a message back to what it came from; see `turnwise.history.why`.

    `parents` are as those of `open`.
    """
    found = places(parents)
    return why_in_journal(Path(journal), agent, round, message=message, record=record, depth=depth, parents=found)
