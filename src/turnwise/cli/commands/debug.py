"""`turnwise debug`: play one turn of a run again, in a debugger."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from turnwise.cli.commands.options import JournalFile, Parents
from turnwise.cli.errors import DIFFERENT, DONE
from turnwise.cli.output import Output, bold, dim, green, red, yellow


def debug(
    journal: JournalFile,
    agent: Annotated[str, typer.Option("--agent", metavar="NAME", help="The agent.", show_default=False)],
    round_: Annotated[int, typer.Option("--round", metavar="N", min=1, help="The round.", show_default=False)],
    parent: Parents = None,
    plain: Annotated[bool, typer.Option("--plain", help="Play it without a debugger, and compare.")] = False,
) -> int:
    """Play one turn of a Python agent again, in Python's debugger, which stops where its function begins.

    State and messages are those of the journal, and each effect is answered as it was: no model, tool or person is
    asked. It runs without a sandbox, in this process, so it is for agents that you trust. What comes of it is compared
    with what was recorded; where it differs, the exit code is 3.
    """
    from turnwise.history.turn_again import play_again

    err = Output.err()
    err.line(yellow("debug: "), bold("the agent runs WITHOUT A SANDBOX, in this process, and may do what you may do."))
    err.flush()
    again = play_again(journal, agent, round_, around=None if plain else _in_debugger, parents=parent or ())
    out = Output.out()
    if again.difference is None:
        out.line(green("same"), dim("  the turn came to what was recorded"))
        return DONE
    out.line(red("different"), f"  {again.difference}")
    return DIFFERENT


def _in_debugger(play: Callable[[], None], file: Path) -> bool:
    """Play a turn in a debugger that stops where the function `turn` of a file begins."""
    import pdb

    class Debugger(pdb.Pdb):
        """Python's debugger, which remembers that it was left."""

        left = False

        def set_quit(self) -> None:
            self.left = True
            super().set_quit()

    debugger = Debugger(nosigint=True, readrc=False)
    line = first_line(file.read_text(encoding="utf-8"))
    if line is not None and debugger.set_break(str(file), line) is None:
        debugger.rcLines.append("continue")  # from our own code, in which it would stop first
    debugger.runcall(play)
    return not debugger.left


def first_line(source: str) -> int | None:
    """Line of the first statement of the function `turn`, behind its docstring; None if it is defined elsewhere."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == "turn":
            begins_with_text = ast.get_docstring(node) is not None and len(node.body) > 1
            return node.body[1 if begins_with_text else 0].lineno
    return None
