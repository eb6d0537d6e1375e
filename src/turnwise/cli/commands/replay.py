"""`turnwise replay`: execute a run again, and compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from turnwise.cli.commands.options import JournalOrBundle, Json, Parents, Workers
from turnwise.cli.errors import DIFFERENT, DONE
from turnwise.cli.output import Output, dim, green, red, yellow
from turnwise.cli.text import count, json_text

if TYPE_CHECKING:
    from turnwise.core.compare import Difference
    from turnwise.history.replay import Replay
    from turnwise.sandbox.languages import InterpretedLanguage

NAME_COLUMNS = 10


def replay(journal: JournalOrBundle, workers: Workers = None, parent: Parents = None, json: Json = False) -> int:
    """Execute a run again and compare.

    All turns are executed in sandboxes, with the answers of models that were recorded; their outcomes, how they were
    carried out, and how the run ended are compared. What was taken from the journal is said to be not proved. The first
    difference is named, and the exit code is then 3.
    """
    from turnwise.evidence.archive import is_archive
    from turnwise.evidence.opened import open_bundle

    if not is_archive(journal):
        return _replay(journal, journal, workers, {}, parent or (), json=json)
    with open_bundle(journal) as bundle:
        return _replay(bundle.journal, journal, workers, bundle.interpreters, (), json=json)


def _replay(
    file: Path,
    named: Path,
    workers: int | None,
    interpreters: Mapping[InterpretedLanguage, Path],
    parents: Sequence[Path],
    *,
    json: bool,
) -> int:
    """Replay the journal `file`, which was named so."""
    from turnwise.cli.progress import counting
    from turnwise.history.replay import replay as play_again
    from turnwise.journal.run import Run
    from turnwise.orchestrator.settings import Settings

    err = Output.err()
    with counting(err, "replaying round") as progress:
        replayed = play_again(file, Settings(workers=workers, interpreters=interpreters), progress, parents=parents)
    _show(replayed, err if json else Output.out())
    if json:
        status = result = None
        if replayed.difference is None:  # else how it ended, and with what, may be as wrong as the rest
            with Run.open(file, parents=parents) as run:
                status, result = run.status, run.result
        value = {
            "head": replayed.head,
            "rounds": replayed.rounds,
            "turns": replayed.turns,
            "status": status,
            "result": result,
            "journal": str(named),
            "equal": replayed.difference is None,
            "difference": difference_json(replayed.difference),
            "missing_end": None if replayed.missing_end is None else replayed.missing_end.reason,
            "notes": list(replayed.notes),
            "unproved": list(replayed.unproved),
        }
        Output.out().write(json_text(value) + "\n")
    return DONE if replayed.difference is None else DIFFERENT


def _show(replayed: Replay, output: Output) -> None:
    difference = replayed.difference
    if difference is None:
        counts = f"{count(replayed.rounds, 'round')}, {count(replayed.turns, 'turn')}"
        output.line(green("equal"), f": {counts}, head {replayed.head}")
    else:
        show_difference(difference, output)
    if replayed.missing_end is not None:
        from turnwise.history.replay import missing_end_text

        output.line(yellow("warning"), f": {missing_end_text(replayed.missing_end)}")
    for note in replayed.notes:
        output.row("note: ", note)
    for line in replayed.unproved:
        output.row("not proved: ", line)


def show_difference(difference: Difference, output: Output) -> None:
    """The difference, and both values cut to where they first differ, with a mark below that place."""
    from turnwise.cli.difference import first_place

    place = first_place(difference.expected, difference.actual)
    output.row(red("difference"), f": {difference}")
    output.line(dim("expected".ljust(NAME_COLUMNS)), place.expected, indent=2)
    output.line(dim("actual".ljust(NAME_COLUMNS)), place.actual, indent=2)
    output.line(
        " " * (NAME_COLUMNS + place.column), red("^"), f" differs from character {place.offset + 1:,} on", indent=2
    )
    output.row("", "What comes after it may be its consequence, and was not compared.", indent=2)


def difference_json(difference: Difference | None) -> dict[str, object] | None:
    """The difference as `--json` has it."""
    if difference is None:
        return None
    from turnwise.cli.difference import as_text

    return {
        "round": difference.round,
        "agent": difference.agent,
        "what": difference.what,
        "expected": as_text(difference.expected),
        "actual": as_text(difference.actual),
    }
