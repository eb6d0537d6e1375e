"""The list of runs: what each journal's header and last round say, without reading its rounds."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from turnwise.errors import TurnwiseError
from turnwise.evidence.opened import journal_of
from turnwise.journal.journal import Journal
from turnwise.monitor.answers.summary import pulse
from turnwise.monitor.answers.texts import shown
from turnwise.monitor.shown import ShownFile, ShownRuns, settled


class Listing:
    """Facts about files, each read again only when it was written since."""

    def __init__(self, runs: ShownRuns) -> None:
        self._runs = runs
        self._facts: dict[str, tuple[int, dict[str, Any]]] = {}

    def rows(self) -> dict[str, Any]:
        """A row a run, the latest written first. Files that cannot be read say why."""
        now_us = time.time_ns() // 1_000
        files, more = self._runs.files()
        facts: dict[str, tuple[int, dict[str, Any]]] = {}
        for file in files:
            known = self._facts.get(file.name)
            if known is None or known[0] != file.changed_us:
                known = (file.changed_us if settled(file.changed_us, now_us) else -1, _facts(file, self._runs.parents))
            facts[file.name] = known
        self._facts = facts
        names = {file.path.resolve(): file.name for file in files}
        rows = [_with_parent(row, names) for _, row in facts.values()]
        return {"place": str(self._runs.place), "runs": rows, "more": more}


def _with_parent(row: dict[str, Any], names: Mapping[Path, str]) -> dict[str, Any]:
    """A row, with the name that the run that it was forked from has in the list; None if it is not there."""
    parent = row.get("parent")
    if parent is None:
        return row
    return {**row, "parent": {**parent, "run": names.get(Path(parent["file"]))}}


def _facts(file: ShownFile, parents: Sequence[Path]) -> dict[str, Any]:
    row: dict[str, Any] = {"name": file.name, "changed_us": file.changed_us, "error": None}
    try:
        with journal_of(file.path) as path, Journal.open(path, parents=parents) as journal:
            plan = journal.header.plan_at()
            end = journal.rounds.end_record
            parent = journal.parent
            result = None if end is None or end.result is None else shown(end.result, 200)
            return {
                **row,
                **pulse(journal),
                "world": plan.name,
                "seed": plan.seed,
                "result": result,
                "questions": 0 if end is not None else len(journal.rounds.parks.asked(journal.rounds.last_round)),
                "parent": None
                if parent is None
                else {
                    "path": parent.path,
                    "round": parent.round,
                    "file": str((file.path.parent / parent.path).resolve()),
                },
                "duration_us": journal.timings.duration_us(),
            }
    except TurnwiseError as error:
        return {**row, "error": error.message}
