"""`turnwise new`: a small world that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from turnwise.cli.errors import DONE
from turnwise.cli.output import Output, bold
from turnwise.cli.summary import quoted_path, show_commands

COMPILE = tuple(
    f"python -m ziglang cc --target=wasm32-freestanding -O2 -s -nostdlib -Wl,--no-entry -o {agent}.wasm {agent}.c"
    for agent in ("keeper", "guesser")
)
"""Lines that compile the agents in C, by the wheel `ziglang`."""


def new(
    name: Annotated[Path, typer.Argument(metavar="NAME", help="The folder to make; the world is named like it.")],
    template: Annotated[
        str,
        typer.Option(
            "--template", metavar="NAME", help="What to begin with: guessing; haggle, which has a model; tools."
        ),
    ] = "guessing",
    lang: Annotated[
        str,
        typer.Option("--lang", metavar="LANGUAGE", help="Language of the agents of guessing: python, javascript or c."),
    ] = "python",
) -> int:
    """Make a small world that runs, with comments that teach. Nothing is ever overwritten."""
    from turnwise.world.template import create_world

    output = Output.out()
    files = create_world(name, template, lang)
    output.line(bold("a new world"), f" in {quoted_path(name)}")
    for path in files:
        output.line(path.relative_to(files[0].parent).as_posix(), indent=2)
    folder = quoted_path(name)
    commands = [(f"cd {folder} && {line}", "compiles") for line in COMPILE] if lang == "c" else []
    commands += [(f"turnwise tools {folder}", "lists its tools")] if template == "tools" else []
    commands += [
        (f"turnwise run {folder}", "plays it"),
        (f"turnwise check {folder}", "says what is wrong after you have changed it"),
    ]
    show_commands(commands, output)
    return DONE
