"""`turnwise runs`: the runs whose journals lie in a folder."""

from __future__ import annotations

import heapq
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer

from turnwise.cli.commands.options import Json, Parents
from turnwise.cli.errors import DONE
from turnwise.cli.output import Output, Part, bold, dim, green, red, yellow
from turnwise.cli.summary import quoted_path
from turnwise.cli.text import count, json_text
from turnwise.errors import TurnwiseError, UsageError

FOLDER = Path("runs")
"""The folder of journals that nobody has named."""

FILES_MAX = 100_000
"""Number of files of a folder that are looked at."""

HEAD_CHARS = 12


@dataclass(frozen=True, slots=True)
class JournalFacts:
    """Facts about one journal of a folder. With an `error`, only `journal` and `changed` are known."""

    journal: str
    """Path of the file."""
    changed: str
    """Time of its last write, ISO 8601 in UTC."""
    world: str | None = None
    """Name of the world."""
    seed: int | None = None
    """Seed of the run."""
    head: str | None = None
    """Head of the run."""
    status: str | None = None
    """Status of the run."""
    rounds: int | None = None
    """Rounds that were committed."""
    failed_turns: int | None = None
    """Turns that failed."""
    questions: int = 0
    """Questions to people that wait for an answer."""
    left: tuple[str, ...] = ()
    """Files that a writer which was killed has left beside it."""
    error: str | None = None
    """Reason why the file cannot be read."""


def runs(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the journals lie.")] = FOLDER,
    last: Annotated[int, typer.Option("--last", metavar="N", min=1, help="So many of them, the newest first.")] = 20,
    parent: Parents = None,
    json: Json = False,
) -> int:
    """List the runs whose journals lie in a folder, the newest first.

    For each: its world and seed, how it ended, its rounds, its head, and when it was last written, and what a run that
    was killed has left beside it. Bundles whose names end with .bundle are listed, too. Files that cannot be read are
    named with what is wrong.
    """
    paths = _journals(folder)
    newest = heapq.nlargest(last, paths, key=lambda path: (_changed_ns(path), path.name))
    found = [_facts(path, parent or ()) for path in newest]
    out = Output.out()
    if json:
        out.write(
            json_text({"folder": str(folder), "runs": [asdict(one) for one in found], "count": len(paths)}) + "\n"
        )
        return DONE
    for one in found:
        _show(one, out)
    if not found:
        out.line(f"There is no journal in {folder}.")
    if len(paths) > len(found):
        out.line(f"and {len(paths) - len(found):,} older: turnwise runs {quoted_path(folder)} --last {len(paths)}")
    return DONE


def _journals(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            found = [Path(entry.path) for entry, _ in zip(entries, range(FILES_MAX), strict=False) if _is_named(entry)]
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(
            "there is no such folder",
            where=str(folder),
            hint="turnwise run puts journals into runs/ of the folder that it is called in; --journal names others.",
        ) from None
    return found


def _is_named(entry: os.DirEntry[str]) -> bool:
    return entry.name.endswith((".journal", ".bundle")) and entry.is_file()


def _changed_ns(path: Path) -> int:
    """Return the time of the last write to a journal or the log beside it; 0 for a journal that has just gone."""
    times = []
    for file in (path, path.with_name(f"{path.name}-wal")):
        try:
            times.append(file.stat().st_mtime_ns)
        except OSError:
            continue
    return max(times, default=0)


def _facts(path: Path, parents: Sequence[Path]) -> JournalFacts:
    from turnwise.evidence.opened import journal_of
    from turnwise.journal import Journal
    from turnwise.journal.run import Run

    moment = datetime.fromtimestamp(_changed_ns(path) / 1e9, tz=timezone.utc)  # noqa: UP017 - the alias of 3.11
    changed = moment.isoformat(timespec="seconds")
    try:
        with journal_of(path) as file, Run.open(file, parents=parents) as run:
            return JournalFacts(
                str(path),
                changed,
                run.world_name,
                run.seed,
                run.head,
                run.status,
                len(run.rounds),
                len(run.failures),
                len(run.questions),
                Journal.left_beside(path),
            )
    except TurnwiseError as error:
        return JournalFacts(str(path), changed, error=error.message)


def _show(one: JournalFacts, out: Output) -> None:
    if one.error is not None:
        out.line(yellow(quoted_path(Path(one.journal))), "  ", dim(one.changed))
        out.row("", one.error, indent=2)
        return
    failed: Part = red(f", {count(one.failed_turns, 'failed turn')}") if one.failed_turns else ""
    out.line(bold(quoted_path(Path(one.journal))), "  ", dim(one.changed))
    out.line(
        f"{one.world}, seed {one.seed}: ",
        (yellow if one.status == "open" else red if one.status == "failed" else green)(_ended(one.status)),
        f" after {count(one.rounds or 0, 'round')}",
        failed,
        dim(f", head {(one.head or '')[:HEAD_CHARS]}…"),
        indent=2,
    )
    if one.questions:
        command = f"turnwise answer {quoted_path(Path(one.journal))}"
        waits = f"{count(one.questions, 'question')} to people: {command}"
        out.line(yellow("waits for an answer: "), waits, indent=2)
    if one.left:
        does = "goes on" if one.status == "open" else "takes it in"
        command = f"turnwise resume {quoted_path(Path(one.journal))}"
        out.line(yellow("killed: "), f"{', '.join(one.left)} lies beside it; {command} {does}", indent=2)


def _ended(status: str | None) -> str:
    words = {"open": "not ended", "rounds_max": "ended at its bound", "quiet": "ended"}
    return words.get(status or "", status or "")
