"""`turnwise detach`: make a fork whole."""

from __future__ import annotations

from turnwise.cli.commands.options import JournalFile, Json, Parents
from turnwise.cli.errors import DONE
from turnwise.cli.output import Output
from turnwise.cli.text import count, json_text


def detach(journal: JournalFile, parent: Parents = None, json: Json = False) -> int:
    """Make a fork whole: copy what it has of the runs that it was forked from into its own journal.

    Its head stays, and it needs no other file from then on. A run that is whole already is left as it is.
    """
    import turnwise

    ancestors = turnwise.detach(journal, parents=parent or ())
    with turnwise.open(journal) as run:  # which has no parents any more
        head = run.head
    out = Output.err() if json else Output.out()
    if ancestors:
        out.line(f"Whole now: it has taken over what it had of {count(ancestors, 'journal')}. Head {head}")
    else:
        out.line(f"It was whole already. Head {head}")
    if json:
        Output.out().write(json_text({"head": head, "ancestors": ancestors}) + "\n")
    return DONE
