"""Journals that hold less: without the private texts of some agents, or without what need not be kept."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from turnwise.errors import InvariantError, UsageError
from turnwise.evidence.bundle import whole_copy
from turnwise.evidence.withholding import Hides, Withholding
from turnwise.journal import Journal
from turnwise.journal.file.connection import connect
from turnwise.journal.file.errors import translated
from turnwise.journal.run import Run

Keep = Literal["head", "states", "all"]
KEEPS: Final[tuple[Keep, ...]] = get_args(Keep)

KEPT: Final = "kept"
"""Row of `meta` that says that only heads were kept."""

_HEADS_ONLY: Final = (
    "turns",
    "effects",
    "messages",
    "logs",
    "records",
    "stops",
    "waves",
    "parks",
    "questions",
    "answers",
)


@dataclass(frozen=True, slots=True)
class Reduced:
    """A journal that holds less than the one that it was made of, and has its head."""

    path: Path
    """File of the new journal."""
    head: str
    """Head of the run, the same as before."""
    texts: int
    """Number of texts that were taken out, each place counted."""
    short: int
    """Those of them that are so short that somebody may find them by trying: digests are not secret."""
    bytes_before: int
    """Bytes of the journal as it was."""
    bytes_after: int
    """Bytes of the new one."""


def redact(
    journal: Path, out: Path, *, agents: Sequence[str] = (), pattern: str | None = None, parents: Sequence[Path] = ()
) -> Reduced:
    """Copy a journal without private texts: in their place stand their SHA-256.

    Taken out is all that `agents` were told and said: their arguments, states, logs, recorded texts, what they
    printed, asked models and were answered, the messages that they sent, and those that they alone received. `pattern`
    is a regular expression; a text in which it is found is taken out, whoever's it is. `parents` are files, and
    folders, in which to look for what a fork goes on from, if that was moved. Raises UsageError if nothing is found.
    """
    if not agents and pattern is None:
        raise UsageError("nothing says what is private", where="redact", hint="Give --agent NAME or --pattern REGEX.")
    try:
        found = re.compile(pattern).search if pattern is not None else None
    except re.error as error:
        raise UsageError(
            f"this is no regular expression: {error}", where="--pattern", hint="Python's syntax is meant."
        ) from error
    with Journal.open(journal, parents=parents) as file:
        places = {agent.name: agent.place for agent in file.queries.agents()}
    if strangers := sorted(set(agents) - places.keys()):
        raise UsageError(
            f"there is no agent {strangers[0]!r} in this run", where="--agent", hint="turnwise log names the agents."
        )
    private = {places[name] for name in agents}

    def hides(_: str, place: int | None, text: str) -> bool:
        return place in private or (found is not None and found(text) is not None)

    return _without(journal, out, _checked(journal, parents), hides, parents, must_find=True)


def compact(journal: Path, out: Path, *, keep: str, parents: Sequence[Path] = ()) -> Reduced:
    """Copy a journal with less in it. `keep` says what stays.

    `all`: everything, packed anew. `states`: states, messages that somebody has yet to read, recorded values, results
    and the structure; other texts are replaced by their digests; the run can be gone on with. `head`: the plan, the
    chains and the end alone. `parents` are as those of `redact`.
    """
    if keep not in KEEPS:
        raise UsageError(f"there is no {keep!r} to keep", where="--keep", hint=f"Give one of {', '.join(KEEPS)}.")
    before = _checked(journal, parents)
    if keep == "head":
        return _heads_only(journal, out, before, parents)
    unread: set[str] = set()
    if keep == "states":
        with Journal.open(journal, parents=parents) as file:
            unread = {pending.message.body for pending in file.world.pending()} | _waiting(file)
    gone = {"turns.message", "turns.stdout", "effects.request", "effects.reply", "effects.tokens", "logs.text"}

    def hides(what: str, place: int | None, text: str) -> bool:
        if keep == "all":
            return False
        return text not in unread and (what in gone or (what == "messages.body" and place is not None))

    return _without(journal, out, before, hides, parents, must_find=False)


def _waiting(file: Journal) -> set[str]:
    """Texts with which turns that wait for people go on."""
    parks, last = file.rounds.parks, file.rounds.last_round
    found: set[str] = set()
    for round_, place, _ in parks.open(last):
        for park in parks.between(round_, round_, place).get(round_, ()):
            for _, part in parks.parts(place, park.turn, last + 1):
                found |= {text for effect in part.effects for text in (effect.request, effect.reply)}
    return found


def _without(
    journal: Path, out: Path, before: str, hides: Hides, parents: Sequence[Path], *, must_find: bool
) -> Reduced:
    whole_copy(journal, out, parents)
    try:
        withholding = Withholding(out, hides)
        withholding.run()
        if must_find and not withholding.texts:
            raise UsageError("nothing private was found", where=str(journal), hint="Look at --agent and --pattern.")
        return _reduced(journal, out, before, withholding.texts, withholding.short)
    except BaseException:
        out.unlink(missing_ok=True)
        raise


def _heads_only(journal: Path, out: Path, before: str, parents: Sequence[Path]) -> Reduced:
    whole_copy(journal, out, parents)
    try:
        withholding = Withholding(out, lambda what, _place, _text: what == "agents.state")
        withholding.run()
        try:
            with closing(connect(out.resolve(), "mode=rw")) as connection:
                connection.execute("BEGIN IMMEDIATE")
                for table in _HEADS_ONLY:
                    connection.execute(f"DELETE FROM {table}")
                if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'changes'").fetchone():
                    connection.execute("DELETE FROM changes WHERE what != 'plan'")  # they are the plan from there on
                connection.execute("INSERT INTO meta VALUES (?, 'head')", (KEPT,))
                connection.execute("DROP TABLE IF EXISTS timings")
                connection.execute("DROP TABLE IF EXISTS snapshots")
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise translated(error, out, writing=True) from error
        again = Withholding(out, lambda *_: False)  # removes the contents that nothing refers to any more
        again.run()
        return _reduced(journal, out, before, withholding.texts, withholding.short, whole=False)
    except BaseException:
        out.unlink(missing_ok=True)
        raise


def _checked(journal: Path, parents: Sequence[Path]) -> str:
    """Compare the content of a journal with its chains, and return its head."""
    with Run.open(journal, parents=parents) as run:
        run.check()
        return run.head


def _reduced(journal: Path, out: Path, before: str, texts: int, short: int, *, whole: bool = True) -> Reduced:
    with Run.open(out) as run:
        if whole:
            run.check()
        if run.head != before:
            raise InvariantError("the head is another one", where=str(out), expected=before, actual=run.head)
    return Reduced(out, before, texts, short, journal.stat().st_size, out.stat().st_size)
