"""`turnwise send`: bring a message into a run."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from turnwise.cli.commands.options import JournalFile, Json, Parents
from turnwise.cli.errors import DONE
from turnwise.cli.output import Output
from turnwise.cli.text import json_text
from turnwise.errors import UsageError

To = Annotated[str, typer.Argument(metavar="AGENT", help="Who gets it: an agent, or a group.", show_default=False)]
Body = Annotated[
    str, typer.Argument(metavar="BODY", help='The text of the message; "-" reads it from stdin.', show_default=False)
]


def send(journal: JournalFile, to: To, body: Body, parent: Parents = None, json: Json = False) -> int:
    """Send a message to an agent of a run.

    It is on disk when this command ends, and is read in the round that begins next: at once if the run is going on, in
    another terminal say, or when "turnwise resume" goes on with it. It comes once, whatever happens to the run
    meanwhile. "turnwise run --serve" has a run wait for messages.
    """
    import turnwise

    turnwise.send(journal, to, _stdin() if body == "-" else body, parents=parent or ())
    if json:
        Output.out().write(json_text({"to": to, "sent": True}) + "\n")
    else:
        Output.out().line(f"Sent to {to}; the run takes it with its next round.")
    return DONE


def _stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise UsageError(
            f"the message is not UTF-8: byte {error.start + 1:,} is none", where="stdin", hint="Send text in UTF-8."
        ) from None
