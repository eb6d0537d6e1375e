"""`turnwise why`: where a turn, a message or a recorded value came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from turnwise.cli.commands.options import JournalOrBundle, Json, Parents
from turnwise.cli.errors import DONE
from turnwise.cli.output import Output, Styled, dim
from turnwise.cli.text import count, json_text, shorten

if TYPE_CHECKING:
    from turnwise.history.why import Cause

TEXT_CHARS_MAX = 160
INDENT_MAX = 60


def why(
    journal: JournalOrBundle,
    agent: Annotated[
        str | None,
        typer.Option("--agent", metavar="NAME", help="The agent whose turn it is.", show_default=False),
    ] = None,
    round_: Annotated[
        int | None, typer.Option("--round", metavar="N", min=1, help="The round of that turn.", show_default=False)
    ] = None,
    message: Annotated[
        int | None,
        typer.Option("--message", metavar="SEQ", min=0, help="A message instead, by its number.", show_default=False),
    ] = None,
    record: Annotated[
        str | None, typer.Option("--record", metavar="NAME", help="A value that the turn recorded.", show_default=False)
    ] = None,
    depth: Annotated[
        int, typer.Option("--depth", metavar="N", min=1, help="How many turns behind each other are followed.")
    ] = 3,
    parent: Parents = None,
    json: Json = False,
) -> int:
    """Say where something came from: the messages, answers and turns behind it, as a tree.

    All of it is recorded; which of the causes mattered is not said. The nearest turns are followed first, each once; of
    those that are not followed any more it is said how many turns lie behind them. With --json the causes are a list,
    each with the id of what it is a cause of.
    """
    from turnwise.evidence.opened import journal_of
    from turnwise.history.why import why as explain

    with journal_of(journal) as file:
        found = explain(file, agent, round_, message=message, record=record, depth=depth, parents=parent or ())
    out = Output.out()
    if json:
        out.write(json_text(_as_json(found)) + "\n")
    else:
        _show(found, out)
    return DONE


def _show(found: Cause, out: Output) -> None:
    hidden = 0
    for level, cause in found.walk():
        label = f"round {cause.round}  " if cause.kind != "world" else ""
        text = f": {shorten(cause.text, TEXT_CHARS_MAX)}" if cause.text else ""
        name = Styled(cause.agent, "cyan")
        deep = f"[{level}] " if 2 * level > INDENT_MAX else ""
        more = "" if cause.told else dim(_not_told(cause))
        out.line(dim(deep + label), f"{_WORDS[cause.kind]} ", name, text, more, indent=min(2 * level, INDENT_MAX))
        hidden += cause.hidden or 0
    if hidden:
        more = "a greater --depth shows more, and so does a turn among these"
        out.line(dim(f"{count(hidden, 'turn')} behind these {'is' if hidden == 1 else 'are'} not shown: {more}"))


def _not_told(cause: Cause) -> str:
    if cause.hidden is None:
        return "  (told elsewhere)"
    return f"  (not followed; {count(cause.hidden, 'more turn')} behind it)" if cause.hidden else "  (not followed)"


_WORDS = {
    "turn": "turn of",
    "message": "message from",
    "record": "recorded by",
    "effect": "answer to",
    "answer": "a person's answer, from",
    "change": "changed from outside, before the turn of",
    "world": "in the world from the beginning:",
}


def _as_json(found: Cause) -> dict[str, object]:
    """A list, in the order of the tree: nested as deep as causes go, most readers of JSON could not take it."""
    causes: list[dict[str, object]] = []
    path: list[int] = []
    for level, cause in found.walk():
        del path[level:]
        causes.append(
            {
                "id": len(causes),
                "of": path[-1] if path else None,
                "kind": cause.kind,
                "round": cause.round,
                "agent": cause.agent,
                "text": cause.text,
                "told": cause.told,
                "hidden": cause.hidden,
            }
        )
        path.append(len(causes) - 1)
    return {"causes": causes, "hidden": sum([cause.hidden or 0 for _, cause in found.walk()])}
