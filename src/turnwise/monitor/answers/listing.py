"""The list of runs: what each journal's header and last round say, without reading its rounds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from turnwise.errors import TurnwiseError
from turnwise.evidence.opened import journal_of
from turnwise.journal.journal import Journal
from turnwise.monitor.answers.summary import pulse
from turnwise.monitor.answers.texts import shown
from turnwise.monitor.shown import ShownFile, ShownRuns


class Listing:
    """Facts about files, each read again only when it was written since."""

    def __init__(self, runs: ShownRuns) -> None:
        self._runs = runs
        self._facts: dict[str, tuple[int, dict[str, Any]]] = {}

    def rows(self) -> dict[str, Any]:
        """A row a run, the latest written first. Files that cannot be read say why."""
        files, more = self._runs.files()
        facts: dict[str, tuple[int, dict[str, Any]]] = {}
        for file in files:
            known = self._facts.get(file.name)
            facts[file.name] = (
                known
                if known and known[0] == file.changed_us
                else (
                    file.changed_us,
                    _facts(file, self._runs.parents),
                )
            )
        self._facts = facts
        return {"place": str(self._runs.place), "runs": [row for _, row in facts.values()], "more": more}


def _facts(file: ShownFile, parents: Sequence[Path]) -> dict[str, Any]:
    row: dict[str, Any] = {"name": file.name, "changed_us": file.changed_us, "error": None}
    try:
        with journal_of(file.path) as path, Journal.open(path, parents=parents) as journal:
            plan = journal.header.plan_at()
            end = journal.rounds.end_record
            result = None if end is None or end.result is None else shown(end.result, 200)
            return {
                **row,
                **pulse(journal),
                "world": plan.name,
                "seed": plan.seed,
                "result": result,
                "parent": None if journal.parent is None else journal.parent.path,
                "duration_us": journal.timings.duration_us(),
            }
    except TurnwiseError as error:
        return {**row, "error": error.message}
