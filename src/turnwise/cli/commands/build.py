"""`turnwise build`: a Python agent and the packages that it needs as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from turnwise.cli.commands.options import Json
from turnwise.cli.errors import DONE
from turnwise.cli.output import Output, bold
from turnwise.cli.progress import doing
from turnwise.cli.text import count, json_text


def build(
    agent: Annotated[Path, typer.Argument(metavar="AGENT", help="A Python agent, a .py file.", show_default=False)],
    requirements: Annotated[
        Path | None,
        typer.Option("-r", "--requirements", metavar="FILE", help="Packages to take along, one a line."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="Name of the file.  [default: AGENT.agent]")
    ] = None,
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Have pip get the packages; else they are taken from this environment.")
    ] = False,
    json: Json = False,
) -> int:
    """Make one file of a Python agent, its local modules and the packages that it needs.

    A world names it as it names a .py file: source = "researcher.agent". Packages must be pure Python; each is imported
    in a sandbox first, and what cannot work there is refused with the reason. The same files give the same bytes.
    """
    import turnwise

    with doing(Output.err(), "importing packages in a sandbox" if requirements else "compiling"):
        made = turnwise.build(agent, requirements=requirements, out=out, fetch=fetch)
    output = Output.err() if json else Output.out()
    output.row(bold(str(made.path)), f": {made.size:,} bytes, {count(made.files, 'file')}")
    output.row("sha256 ", made.sha256)
    for package in made.packages:
        output.row(f"{package.name} {package.version}: ", f"import {', '.join(package.modules)}")
        for note in package.notes:
            output.row("  note: ", note)
    if json:
        packages = [
            {"name": one.name, "version": one.version, "modules": list(one.modules), "notes": list(one.notes)}
            for one in made.packages
        ]
        value = {"file": str(made.path), "bytes": made.size, "sha256": made.sha256, "packages": packages}
        Output.out().write(json_text(value) + "\n")
    return DONE
