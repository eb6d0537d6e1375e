"""`turnwise play`: take the turns of an agent, in the terminal or on a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from turnwise.cli.commands.options import Json, Log, Models, Workers, log_choice, model_folders
from turnwise.errors import UsageError

Place = Annotated[
    Path,
    typer.Argument(
        metavar="WORLD", help="Folder with a world.toml, such a file, or the journal of a run to go on with."
    ),
]
As = Annotated[str, typer.Option("--as", metavar="NAME", help="The agent whose turns you take.")]
Seed = Annotated[
    int | None, typer.Option("--seed", metavar="N", help="Another seed than the world's.", show_default=False)
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the world file. May be repeated."),
]
Journal = Annotated[
    Path | None,
    typer.Option("--journal", metavar="FILE", help="Write the journal to this new file.", show_default=False),
]


def play(
    world: Place,
    as_: As,
    seed: Seed = None,
    set_: Set = None,
    model: Models = None,
    journal: Journal = None,
    workers: Workers = None,
    log: Log = "info",
    page: Annotated[bool, typer.Option("--page", help="Play on a page instead of in the terminal.")] = False,
    open_: Annotated[bool, typer.Option("--open", help="Open that page in the browser.")] = False,
    json: Json = False,
) -> int:
    """Play a world as one of its agents, in the terminal or on a page.

    An agent that asks people (t.ask) asks you. In the place of any other agent that has a table of its own, you read
    its mail and say what it sends: NAME: TEXT, or TEXT alone to whoever wrote last; /finish RESULT, /wake ROUNDS, an
    empty line to pass. A line that ends with a backslash goes on in the next. The other agents move on meanwhile;
    deadlines wait for you.

    Ctrl-C, or the end of the input, stops the run; "turnwise play JOURNAL --as NAME" goes on with it. What you said is
    in the journal, so the run can be replayed, forked and compared like any other.
    """
    from turnwise.cli.page_beside import PageBeside
    from turnwise.cli.person_terminal import play_as

    if open_ and not page:
        raise UsageError("there is no page to open", where="--open", hint="Give --page, too.")

    return play_as(
        world,
        as_,
        seed=seed,
        overrides=set_ or (),
        models=model_folders(model),
        journal=journal,
        workers=workers,
        log=log_choice(log),
        page=PageBeside("page", "answer", "--page", "--as", as_, *(["--open"] if open_ else [])) if page else None,
        as_json=json,
    )
