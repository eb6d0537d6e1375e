"""`turnwise redact` and `turnwise compact`: journals that hold less, and have the same head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from turnwise.cli.commands.options import JournalFile, Json, NewFile, Parents
from turnwise.cli.errors import DONE
from turnwise.cli.output import Output, bold
from turnwise.cli.text import count, json_text

if TYPE_CHECKING:
    from turnwise.evidence.redact import Reduced


def redact(
    journal: JournalFile,
    out: NewFile,
    agent: Annotated[
        list[str] | None,
        typer.Option("--agent", metavar="NAME", help="What this agent was told and said. May be repeated."),
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option(
            "--pattern", metavar="REGEX", help="Texts in which this is found, whoever's they are.", show_default=False
        ),
    ] = None,
    parent: Parents = None,
    json: Json = False,
) -> int:
    """Copy a journal without private texts; in their place stand their SHA-256.

    Structure and heads stay, and are still proved. Turns whose texts are gone cannot be executed again; replay and
    verify say so. A text that is short or easily guessed can be found by trying: its digest is not a secret.
    """
    from turnwise.evidence.redact import redact as take_out

    made = take_out(journal, out, agents=agent or (), pattern=pattern, parents=parent or ())
    return _tell(made, json=json)


def compact(
    journal: JournalFile,
    out: NewFile,
    keep: Annotated[str, typer.Option("--keep", metavar="WHAT", help="head, states or all.", show_default=False)],
    parent: Parents = None,
    json: Json = False,
) -> int:
    """Copy a journal with less in it, and the same head.

    all: everything, packed anew. states: states, recorded values, results, and messages that somebody has yet to read;
    of other texts the SHA-256. head: the plan, the chains and how the run ended.
    """
    from turnwise.evidence.redact import compact as pack

    return _tell(pack(journal, out, keep=keep, parents=parent or ()), json=json)


def _tell(made: Reduced, *, json: bool) -> int:
    output = Output.err() if json else Output.out()
    output.line(bold(str(made.path)), f": {made.bytes_after:,} bytes of {made.bytes_before:,}, head {made.head}")
    if made.texts:
        output.line(f"{count(made.texts, 'text')} taken out; of each its SHA-256 is left")
    if made.short:
        output.line(f"note: {count(made.short, 'text')} of them may be found by trying, since they are short")
    if json:
        value = {
            "journal": str(made.path),
            "head": made.head,
            "texts": made.texts,
            "short": made.short,
            "bytes_before": made.bytes_before,
            "bytes": made.bytes_after,
        }
        Output.out().write(json_text(value) + "\n")
    return DONE
