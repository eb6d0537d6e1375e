"""`turnwise new`: a small world that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from turnwise.cli.errors import DONE
from turnwise.cli.output import Output, bold, dim
from turnwise.cli.summary import quoted_path


def new(
    name: Annotated[Path, typer.Argument(metavar="NAME", help="The folder to make; the world is named like it.")],
) -> int:
    """Make a small world that runs, with comments that teach. Nothing is ever overwritten."""
    from turnwise.world.template import create_world

    output = Output.out()
    files = create_world(name)
    output.line(bold("a new world"), f" in {quoted_path(name)}")
    for path in files:
        output.line(path.name, indent=2)
    output.line()
    output.line(f"turnwise run {quoted_path(name)}", dim("   plays it"), indent=2)
    output.line(f"turnwise check {quoted_path(name)}", dim("   says what is wrong after you have changed it"), indent=2)
    return DONE
