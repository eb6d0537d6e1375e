"""Options that several commands have, and how their values are read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from turnwise.cli.logs import CHOICES, LogChoice
from turnwise.cli.text import shorten
from turnwise.errors import UsageError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout; text for people goes to stderr.")]
AcceptTools = Annotated[
    bool,
    typer.Option("--accept-tools", help="Take tools that are others than those that the run is pinned to."),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        help="Sandbox processes. Default: TURNWISE_WORKERS, or one a core.",
        show_default=False,
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", metavar="NAME=PATH", help="Take a model from another folder. May be repeated."),
]
Log = Annotated[
    str,
    typer.Option("--log", metavar="LEVEL", help="Show what agents log from this level on: " + ", ".join(CHOICES) + "."),
]
FailOnFailedTurns = Annotated[
    bool, typer.Option("--fail-on-failed-turns", help="Exit code 1 if a turn has failed, whatever the run came to.")
]
JournalFile = Annotated[Path, typer.Argument(metavar="JOURNAL", help="The journal of a run.", show_default=False)]
JournalOrBundle = Annotated[
    Path, typer.Argument(metavar="JOURNAL", help="The journal of a run, or a bundle of one.", show_default=False)
]
NewFile = Annotated[
    Path,
    typer.Option("--out", "-o", metavar="FILE", help="The file to write, which must not exist.", show_default=False),
]
WorldFolder = Annotated[
    Path, typer.Argument(metavar="WORLD", help="A folder with a world.toml, or such a file.", show_default=False)
]


Parents = Annotated[
    list[Path] | None,
    typer.Option(
        "--parent",
        metavar="PATH",
        help="Look for the runs that it was forked from in this file or folder. May be repeated.",
    ),
]


def model_folders(options: Sequence[str] | None) -> dict[str, Path]:
    """The folders by name, from `NAME=PATH` texts. Raises UsageError for another form, or a name that comes twice."""
    folders: dict[str, Path] = {}
    for option in options or ():
        name, equals, path = option.partition("=")
        if not equals or not name or not path:
            raise UsageError(
                f"{option!r} does not name a model and its folder",
                where="--model",
                hint="Write --model NAME=PATH, with the model's name in the world: --model storyteller=models/stories.",
            )
        if name in folders:
            raise UsageError(f"{name!r} is named twice", where="--model", hint="Name each model once.")
        folders[name] = Path(path)
    return folders


Patience = Annotated[
    float,
    typer.Option(
        "--patience", metavar="SECONDS", min=0, help="Wait so long for a person's answer before its deadline passes."
    ),
]


Serve = Annotated[
    bool,
    typer.Option("--serve", help="Wait for messages when nobody has anything left to do, instead of ending the run."),
]


MetricsPort = Annotated[
    int | None,
    typer.Option(
        "--metrics",
        metavar="PORT",
        min=0,
        max=65535,
        help="Metrics for Prometheus on a port of 127.0.0.1; 0 takes a free one.",
        show_default=False,
    ),
]
Monitor = Annotated[
    bool, typer.Option("--monitor", help="Show the run on a page while it is played (and after, on a terminal).")
]
Otlp = Annotated[
    str | None,
    typer.Option("--otlp", metavar="URL", help="Send spans to this OpenTelemetry collector.", show_default=False),
]
LogJson = Annotated[
    Path | None,
    typer.Option(
        "--log-json", metavar="FILE", help='Add lines of JSON to a file; "-": write them.', show_default=False
    ),
]


def log_choice(option: str, name: str = "--log") -> LogChoice:
    """Return the level that the option `name` was given. Raises UsageError for anything else."""
    for choice in CHOICES:
        if option == choice:
            return choice
    raise UsageError(f"{shorten(option)!r} is no level", where=name, hint=f"Write one of {', '.join(CHOICES)}.")
