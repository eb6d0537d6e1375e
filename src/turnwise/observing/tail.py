"""The end of a journal that somebody writes: rounds as they are committed, with their times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from turnwise.core.records import EndRecord
from turnwise.exports.moments import RoundMoments, moments
from turnwise.journal import Journal

LOOKS_FOR_TIMES: Final = 3
"""Looks after which a round is told of without its times, which come with the commit of the next one."""


@dataclass(frozen=True, slots=True)
class Looked:
    """Result of one look at a journal."""

    rounds: tuple[RoundMoments, ...]
    """Rounds that were committed since the last look, or the first of them."""
    names: tuple[str, ...]
    """Names of all agents, by place."""
    last: int
    """Number of the last round that is committed."""
    behind: int
    """Number of rounds from the last that was read to the last that is committed."""
    skipped: int
    """Number of rounds that are passed over, since they came faster than they may be read."""
    end: EndRecord | None
    """End of the run, once all its rounds were read; None before."""


class Tail:
    """Reads rounds behind each other. The file is open during a look only, so that its writer can clear up."""

    def __init__(self, path: Path, parents: Sequence[Path] = (), after: int | None = None) -> None:
        """`after` is the round behind which reading begins; None: the last one that is committed."""
        self.path = path
        self._parents = tuple(parents)
        self._after = after
        self._names: tuple[str, ...] = ()
        self._waited = 0

    def look(self, rounds_max: int, behind_max: int) -> Looked:
        """Read at most so many rounds; if more than `behind_max` wait, pass over all but as many.

        Raises JournalError for a journal that is damaged.
        """
        with Journal.open(self.path, parents=self._parents) as journal:
            end = journal.rounds.end_record  # asked first: what is committed before it is still read
            last = journal.rounds.last_round
            after = last if self._after is None else self._after
            skipped = max(0, last - after - behind_max)
            after += skipped
            chosen = min(last, after + rounds_max)
            found = tuple(moments(journal, journal.header.plan_at(), after + 1, chosen)) if after < chosen else ()
            after = chosen
            if self._waits(found, is_newest=chosen == last, is_over=end is not None):
                found = found[:-1]
                after = found[-1].record.round if found else min(after, (self._after or 0) + skipped)
            if found or not self._names:
                self._names = tuple([agent.name for agent in journal.queries.agents()])
        self._after = after
        return Looked(found, self._names, last, last - after, skipped, None if last > after else end)

    def _waits(self, found: tuple[RoundMoments, ...], *, is_newest: bool, is_over: bool) -> bool:
        """Return whether the newest round is left for the next look, since its times may still come."""
        if not found or not is_newest or is_over or found[-1].times is not None or self._waited >= LOOKS_FOR_TIMES:
            self._waited = 0
            return False
        self._waited += 1
        return True
