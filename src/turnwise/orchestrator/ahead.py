"""Effects as they are known before their rounds are committed: intents of calls, and replies that cannot come again.

A turn in progress is taken anew after a crash, and comes to the same effects at the same places. What it was given of
those that cannot be computed again (tools, models behind a URL, models that promise nothing) must be the same then, or
its path would be another. So each is on disk before anything follows from it, and is found here when the turn comes to
it again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from turnwise.core.events import Request
from turnwise.core.sampling import index_text
from turnwise.errors import DifferenceFound
from turnwise.journal.file.ahead_row import AheadRow


class AheadWriter(Protocol):
    """The journal's writer, as far as it writes ahead of rounds."""

    async def ahead(self, row: AheadRow, *, is_alone: bool = False) -> None:
        """Write, and wait until it is on disk. `is_alone`: nothing else could go on meanwhile."""


class Ahead:
    """Effects of the round in progress, and of turns that wait: what an earlier process has left, and what is noted."""

    def __init__(self, writer: AheadWriter, rows: Iterable[AheadRow] = ()) -> None:
        self._writer = writer
        self._found = {row.key: row for row in rows}

    def found(self, request: Request) -> AheadRow | None:
        """Return what an earlier process has left of an effect, once; None if that is nothing.

        Raises `DifferenceFound` if it was another effect.
        """
        row = self._found.pop(_key(request), None)
        if row is not None and row.request != request.request.body:
            raise DifferenceFound(
                f"effect {index_text(request.index)} of turn {request.turn} is not what it was before the run was "
                "interrupted",
                expected=row.request,
                actual=request.request.body,
                hint="Its turn was given something that is not recorded. Fork the run at its last round to go on: "
                "turnwise fork.",
            )
        return row

    async def note(
        self,
        request: Request,
        *,
        is_made: bool = False,
        is_parked: bool = False,
        outcome: str | None = None,
        tokens: tuple[int, ...] | None = None,
        is_alone: bool = False,
    ) -> None:
        """Note what is known of an effect, and wait until that is on disk. Raises what a commit does.

        `is_alone`: nothing else could go on meanwhile.
        """
        place, turn, index, stage = _key(request)
        body = request.request.body
        row = AheadRow(place, turn, index, stage, body, is_made, is_parked, outcome, tokens)
        await self._writer.ahead(row, is_alone=is_alone)


def _key(request: Request) -> tuple[int, int, int, int]:
    return request.place, request.turn, request.index, request.stage
