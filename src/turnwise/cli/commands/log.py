"""`turnwise log`: what happened in a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from turnwise.cli.commands.options import JournalFile, Json
from turnwise.cli.errors import DONE, report
from turnwise.cli.errors import as_json as error_as_json
from turnwise.cli.output import Output, dim
from turnwise.cli.text import json_text
from turnwise.errors import TurnwiseError

if TYPE_CHECKING:
    from turnwise.cli.story import Story, ToldRound
    from turnwise.cli.summary import Summary


def log(
    journal: JournalFile,
    agent: Annotated[
        str | None, typer.Option("--agent", metavar="NAME", help="Only this agent's turns.", show_default=False)
    ] = None,
    round_: Annotated[
        int | None, typer.Option("--round", metavar="N", min=1, help="Only this round.", show_default=False)
    ] = None,
    json: Json = False,
) -> int:
    """Say what happened in a run, turn by turn.

    For each turn: the messages that it read, effects with their answers, what it printed, logged, recorded and sent,
    how its state changed, and its fuel. Long texts are shortened; --json has them whole.
    """
    from turnwise.cli import summary, telling
    from turnwise.cli.story import Story
    from turnwise.journal import Journal
    from turnwise.journal.run import Run

    out = Output.out()
    with Run.open(journal) as run:
        found = summary.summarize(run)
        unproved = run.unproved if agent is not None else run.unproved[1:]  # whole rounds are compared as they are read
    with Journal.open(journal) as opened:
        story = Story(opened)
        rounds = story.rounds(agent=agent, round_=round_)
        if agent is not None:
            story.agent(agent)
        if round_ is not None and round_ > opened.rounds.last_round:
            opened.rounds.summary(round_)  # raises, with the rounds that there are
        if json:
            return _write_json(found, story, rounds, unproved, out)
        summary.show_title(found, out)
        out.line()
        shown = False
        for told in rounds:
            shown = True
            telling.show_round(told, story.name, out)
            if out.gone:
                return DONE
        if not shown:
            where = f" in round {round_}" if round_ else ""
            out.line(f"{agent} has no turn{where}." if agent else f"Nobody has a turn{where}.")
        for line in unproved:
            out.line(dim(f"not proved: {line}"))
    return DONE


def _write_json(found: Summary, story: Story, rounds: Iterator[ToldRound], unproved: Sequence[str], out: Output) -> int:
    """One object, written as it is read. If the journal turns out damaged on the way, the object says so at its end."""
    from turnwise.cli import summary, telling

    out.write(summary.as_json(found).removesuffix("}\n") + ', "log": [')
    code, error = DONE, ""
    try:
        for number, told in enumerate(rounds):
            out.write(("\n" if number == 0 else ",\n") + json_text(telling.round_json(told, story.name)))
            if out.gone:
                return DONE
    except TurnwiseError as failure:
        code = report(failure, Output.err())
        error = f', "error": {json_text(error_as_json(failure, code))}'
    out.write(f'\n], "unproved": {json_text(list(unproved))}{error}}}\n')
    return code
