"""Facts about a run as a whole."""

from __future__ import annotations

from typing import Any

from turnwise.core.head import genesis
from turnwise.journal.journal import Journal
from turnwise.journal.read.recorded_numeric import recorded_numeric
from turnwise.monitor.answers.questions import open_questions
from turnwise.monitor.answers.texts import CHARS_WHOLE_MAX, shown


def pulse(journal: Journal) -> dict[str, Any]:
    """The facts of a run that change while it is played."""
    rounds = journal.rounds
    last = rounds.last_round
    end = rounds.end_record
    head = end.head if end is not None and end.head is not None else rounds.head
    if head is None:
        head = genesis(journal.header.plans()[0][1], journal.header.rule)
    return {
        "last_round": last,
        "agents": rounds.summary(last).agents if last else sum(1 for _ in journal.queries.agents()),
        "status": "open" if end is None else end.reason,
        "head": head.hex(),
    }


def summary(journal: Journal) -> dict[str, Any]:
    """The world, its models, what it came to, and sums over all rounds."""
    plan = journal.header.plan_at()
    end = journal.rounds.end_record
    classes = {name: found.promise for name, found in recorded_numeric(journal.header.versions, journal.path).items()}
    parent = journal.parent
    return {
        **pulse(journal),
        "path": str(journal.path),
        "world": plan.name,
        "seed": plan.seed,
        "result": None if end is None or end.result is None else shown(end.result, CHARS_WHOLE_MAX),
        "message": None if end is None or end.message is None else shown(end.message),
        "totals": journal.grid.totals(),
        "records": journal.grid.record_names(),
        "timings": journal.timings.there,
        "parent": None
        if parent is None
        else {"path": str(parent.path), "round": parent.round, "head": parent.head.hex()},
        "models": [{"name": name, "sha256": digest, "class": classes.get(name)} for name, digest in plan.models],
        "redacted": journal.queries.is_redacted(),
        "questions": [] if end is not None else open_questions(journal),
        "waits": journal.rounds.parks.counts()[0],
    }
