"""`turnwise mcp`: worlds and journals of a folder, for programs that speak the Model Context Protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from turnwise.cli.errors import DONE
from turnwise.errors import UsageError


def mcp(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Whose worlds and journals.", show_default=False)],
) -> int:
    """Serve worlds and journals of a folder to a program that speaks MCP, over standard input and output.

    Its tools are list, check, run, resume, log, why, diff and fork. No path leads out of the folder, and of a world
    only arguments of agents can be changed. Such programs are told to start it: docs/mcp.md.
    """
    if not folder.is_dir():
        raise UsageError("there is no such folder", where=str(folder), hint="Name the folder that has the worlds.")
    try:
        from turnwise.mcp.ending_input import end_input_on_signals
        from turnwise.mcp.server import make_server
    except ImportError as error:
        hint = 'Install it: pip install "turnwise[mcp]"'
        raise UsageError(f"MCP is not installed ({error.name} is missing)", hint=hint) from None
    server = make_server(folder)
    end_input_on_signals()
    server.run()
    return DONE
