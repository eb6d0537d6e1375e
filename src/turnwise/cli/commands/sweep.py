"""`turnwise sweep`: one world with many seeds and values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from turnwise.cli.commands.options import Json, Models, Workers, WorldFolder, model_folders
from turnwise.cli.errors import DONE, FAILED
from turnwise.cli.output import Output, bold, dim, red
from turnwise.cli.text import count, json_text, shorten

if TYPE_CHECKING:
    from turnwise.sweeps.moves import VariableMove
    from turnwise.sweeps.row import SweptRun
    from turnwise.sweeps.sweep import Sweep

FAILURES_SHOWN_MAX = 5
MOVES_SHOWN_MAX = 40
MESSAGE_CHARS_MAX = 200

Seeds = Annotated[str, typer.Option("--seeds", metavar="SEEDS", help="Seeds: 0..99, or 1,2,5..9.", show_default=False)]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=A,B,C",
        help="Play with each of these values of a key of the world file. May be repeated: each with each.",
    ),
]
Table = Annotated[
    Path | None,
    typer.Option("--table", metavar="FILE", help="Write a row a run to this new .csv or .parquet file."),
]
Jobs = Annotated[
    int | None,
    typer.Option("--jobs", metavar="N", help="Runs at once. Default: twice the workers.", show_default=False),
]
Journals = Annotated[
    Path | None,
    typer.Option(
        "--journals", metavar="FOLDER", help="Keep the journals here, and take up runs that are here already."
    ),
]


def sweep(
    world: WorldFolder,
    seeds: Seeds,
    set_: Set = None,
    table: Table = None,
    journals: Journals = None,
    jobs: Jobs = None,
    workers: Workers = None,
    model: Models = None,
    json: Json = False,
) -> int:
    """Play a world with many seeds and values.

    All runs share the workers and the inference process; each has the head that "turnwise run" gives it. A run that
    fails is a row of the table, and the exit code is then 1. With --journals, the same command goes on after an
    interruption: runs that have ended are read, others are taken up.

    A summary says how far each variable moves each number of results and records (the largest less the smallest of the
    means over its values) beside the standard deviation over seeds within a combination of values.
    """
    models = model_folders(model)
    import turnwise
    from turnwise.cli.progress import counting
    from turnwise.sweeps.variables import seeds_of, variables_of

    err = Output.err()
    try:
        with counting(err, "played run") as progress:
            swept = turnwise.sweep(
                world,
                seeds=seeds_of(seeds),
                variables=variables_of(set_ or ()),
                table=table,
                journals=journals,
                jobs=jobs,
                workers=workers,
                models=models,
                progress=progress,
            )
    except KeyboardInterrupt:
        kept = "--journals FOLDER would have kept what was played"
        err.line(kept if journals is None else f"the same command goes on from the journals in {journals}")
        raise
    moves = swept.moves
    show_sweep(swept, moves, table, journals, err if json else Output.out())
    if json:
        Output.out().write(json_text(_as_json(swept, moves, table)) + "\n")
    return DONE if all(run.is_whole for run in swept.runs) else FAILED


def show_sweep(
    swept: Sweep, moves: list[VariableMove], table: Path | None, journals: Path | None, output: Output
) -> None:
    """Print what a sweep came to."""
    for notice in swept.notices:
        output.line(notice)
    runs = swept.runs
    ends: dict[str, int] = {}
    for run in runs:
        ends[run.status] = ends.get(run.status, 0) + 1
    output.line(bold(count(len(runs), "run")), ": ", ", ".join(f"{number:,} {end}" for end, number in ends.items()))
    wrong = [run for run in runs if not run.is_whole]
    for run in wrong[:FAILURES_SHOWN_MAX]:
        about = shorten((run.message or "").split("\n")[0], MESSAGE_CHARS_MAX)
        output.line(red(run.status), f" {_named(run)}: {about}", indent=2)
    if len(wrong) > FAILURES_SHOWN_MAX:
        output.line(f"… {count(len(wrong) - FAILURES_SHOWN_MAX, 'run')} more", indent=2)
    for name, lines in _by_variable(moves).items():
        output.line(bold(name), dim("  moved: largest less smallest mean; spread: standard deviation over seeds"))
        for move in lines[:MOVES_SHOWN_MAX]:
            spread = "none" if move.spread is None else f"{move.spread:.4g}"
            times = "" if move.ratio is None else f" ({move.ratio:.2f} times)"
            means = ", ".join(f"{value}: {mean:.4g}" for value, mean in move.means.items())
            output.line(
                f"{move.measure}  moved {move.moved:.4g}, spread {spread}{times}  {shorten(means, MESSAGE_CHARS_MAX)}",
                indent=2,
            )
        if len(lines) > MOVES_SHOWN_MAX:
            output.line(f"… {count(len(lines) - MOVES_SHOWN_MAX, 'number')} more: --json has all", indent=2)
    for label, path in (("table", table), ("journals", journals)):
        if path is not None:
            output.line(dim(f"{label:<10}"), str(path))


def _by_variable(moves: list[VariableMove]) -> dict[str, list[VariableMove]]:
    found: dict[str, list[VariableMove]] = {}
    for move in moves:
        found.setdefault(move.variable, []).append(move)
    return found


def _named(run: SweptRun) -> str:
    return ", ".join([f"seed {run.seed}", *[f"{key}={value}" for key, value in run.settings.items()]])


def _as_json(swept: Sweep, moves: list[VariableMove], table: Path | None) -> dict[str, Any]:
    return {
        "runs": [
            {
                "settings": dict(run.settings),
                "seed": run.seed,
                "status": run.status,
                "message": run.message,
                "head": run.head,
                "rounds": run.rounds,
                "turns": run.turns,
                "failed": run.failed,
                "result": run.result,
                "records": {name: {"last": of.last, "mean": of.mean} for name, of in run.records.items()},
                "journal": None if run.journal is None else str(run.journal),
            }
            for run in swept.runs
        ],
        "moves": [
            {
                "variable": move.variable,
                "measure": move.measure,
                "means": move.means,
                "moved": move.moved,
                "spread": move.spread,
                "ratio": move.ratio,
            }
            for move in moves
        ],
        "notices": list(swept.notices),
        "table": None if table is None else str(table),
    }
