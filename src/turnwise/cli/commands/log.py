"""`turnwise log`: the turns of a run, told."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from turnwise.cli.commands.options import JournalOrBundle, Json, Parents, log_choice
from turnwise.cli.errors import DONE, report
from turnwise.cli.errors import as_json as error_as_json
from turnwise.cli.interrupts import exit_code
from turnwise.cli.logs import LogChoice, is_shown
from turnwise.cli.output import Output, dim
from turnwise.cli.text import json_text
from turnwise.errors import TurnwiseError, UsageError

if TYPE_CHECKING:
    from turnwise.cli.journal_turns import JournalTurns, RoundInContext, TurnInContext
    from turnwise.cli.summary import Summary
    from turnwise.journal import Journal

LOOK_AGAIN_S = 0.2
"""Time between two looks at a journal that is followed."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A choice of turns to show.

    `agent` and `round_` keep those of one agent and one round, `failed` those that failed, `level` those that logged
    at this level or above. `times` reads the times of rounds, too.
    """

    agent: str | None = None
    round_: int | None = None
    failed: bool = False
    level: LogChoice | None = None
    times: bool = False

    @property
    def chooses_turns(self) -> bool:
        """True if a round may have turns that are not shown."""
        return self.failed or self.level is not None

    def rounds(self, turns_of: JournalTurns, first: int = 1, last: int | None = None) -> Iterator[RoundInContext]:
        """Yield the rounds from `first` to `last` with the turns that are shown."""
        found = turns_of.rounds(agent=self.agent, round_=self.round_, first=first, last=last, times=self.times)
        for told in found:
            if not self.chooses_turns:
                yield told
                continue
            turns = [turn for turn in told.turns if self._shows(turn)]
            if turns:
                yield replace(told, inputs=(), turns=iter(turns), stopped=(), changes=(), waves=())

    def _shows(self, told: TurnInContext) -> bool:
        if self.failed and told.turn.failure is None:
            return False
        if self.level is None:
            return True
        logs = told.turn.output.log if told.turn.output is not None else ()
        return any(is_shown(log.level, self.level) for log in logs)


def log(
    journal: JournalOrBundle,
    agent: Annotated[
        str | None, typer.Option("--agent", metavar="NAME", help="Only this agent's turns.", show_default=False)
    ] = None,
    round_: Annotated[
        int | None, typer.Option("--round", metavar="N", min=1, help="Only this round.", show_default=False)
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only turns that failed.")] = False,
    level: Annotated[
        str | None,
        typer.Option(
            "--level", metavar="LEVEL", help="Only what agents logged, from this level on.", show_default=False
        ),
    ] = None,
    no_fuel: Annotated[
        bool, typer.Option("--no-fuel", help="Leave out fuel and executions, which equal runs may differ in.")
    ] = False,
    times: Annotated[
        bool, typer.Option("--times", help="When rounds began, and how long turns, effects and commits took.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what a run commits, until it ends or Ctrl-C.")
    ] = False,
    parent: Parents = None,
    json: Json = False,
) -> int:
    """Say what happened in a run, turn by turn.

    For each turn: the messages that it read, effects with their answers, what it printed, logged, recorded and sent,
    how its state changed, and its fuel. Long texts are shortened; --json has them whole.
    """
    from turnwise.evidence.opened import journal_of

    if follow and json:
        raise UsageError("--json prints one object, which --follow would never complete", hint="Leave one of them out.")
    if follow and round_ is not None:
        raise UsageError("--round shows one round, after which there is nothing to --follow", hint="Leave one out.")
    chosen = Filter(agent, round_, failed, None if level is None else log_choice(level, "--level"), times)
    with journal_of(journal) as file:
        return _tell(file, parent or (), chosen, follow=follow, fuel=not no_fuel, json=json)


def _tell(journal: Path, parents: Sequence[Path], chosen: Filter, *, follow: bool, fuel: bool, json: bool) -> int:
    """Tell of the turns that are chosen."""
    from turnwise.cli import summary
    from turnwise.cli.journal_turns import JournalTurns
    from turnwise.journal import Journal
    from turnwise.journal.run import Run

    agent, round_, times = chosen.agent, chosen.round_, chosen.times
    out = Output.out()
    with Run.open(journal, parents=parents) as run:
        found = summary.summarize(run)
        unproved = run.unproved if agent is not None else run.unproved[1:]  # whole rounds are compared as they are read
        if times:
            unproved += ("times were noted by the clock" if len(run.timings) else "no times were recorded",)
    with Journal.open(journal, parents=parents) as opened:
        turns_of = JournalTurns(opened)
        if agent is not None:
            turns_of.agent(agent)
        if round_ is not None and round_ > opened.rounds.last_round:
            opened.rounds.summary(round_)  # raises, with the rounds that there are
        if json:
            return _write_json(found, turns_of, chosen, unproved, out, fuel=fuel)
        if chosen.level is None:
            summary.show_title(found, out)
            out.line()
        last = opened.rounds.last_round
        shown = _show(chosen.rounds(turns_of, last=last), chosen, turns_of, out, fuel=fuel)
        code = DONE
        if follow:
            code = _follow(opened, last, chosen, turns_of, out, fuel=fuel)
        elif not shown:
            out.line(_nothing(chosen))
        for line in unproved:
            out.line(dim(f"not proved: {line}"))
    return code


def _show(rounds: Iterator[RoundInContext], chosen: Filter, turns_of: JournalTurns, out: Output, *, fuel: bool) -> bool:
    """Write `rounds`; return whether there was any."""
    from turnwise.cli import log_text

    shown = False
    for told in rounds:
        shown = True
        if chosen.level is not None:
            log_text.show_logs(told, chosen.level, out)
        else:
            log_text.show_round(told, turns_of.name, out, fuel=fuel)
        if out.gone:
            break
    return shown


def _follow(opened: Journal, last: int, chosen: Filter, turns_of: JournalTurns, out: Output, *, fuel: bool) -> int:
    """Write what is committed after round `last`, until the run has ended or somebody interrupts."""
    try:
        while not out.gone:
            ended = opened.rounds.end_record is not None  # asked first: what is committed before it is still shown
            newest = opened.rounds.last_round
            if newest > last:
                turns_of.read_spawned()
                _show(chosen.rounds(turns_of, last + 1, newest), chosen, turns_of, out, fuel=fuel)
                last = newest
            out.flush()
            if ended:
                return DONE
            time.sleep(LOOK_AGAIN_S)
    except KeyboardInterrupt as error:
        return exit_code(error)
    return DONE


def _nothing(chosen: Filter) -> str:
    where = f" in round {chosen.round_}" if chosen.round_ else ""
    who = chosen.agent or "Nobody"
    if chosen.level is not None:
        what = "has logged nothing" if chosen.agent else "has logged anything"
        return f"{who} {what} of level {chosen.level} or above{where}."
    what = "failed turn" if chosen.failed else "turn"
    return f"{chosen.agent} has no {what}{where}." if chosen.agent else f"Nobody has a {what}{where}."


def _write_json(
    found: Summary, turns_of: JournalTurns, chosen: Filter, unproved: Sequence[str], out: Output, *, fuel: bool
) -> int:
    """Write one object as it is read. If the journal turns out damaged on the way, the object says so at its end."""
    from turnwise.cli import log_text, summary

    out.write(summary.as_json(found).removesuffix("}\n") + ', "log": [')
    code, error = DONE, ""
    try:
        for number, told in enumerate(chosen.rounds(turns_of)):
            text = json_text(log_text.round_json(told, turns_of.name, fuel=fuel))
            out.write(("\n" if number == 0 else ",\n") + text)
            if out.gone:
                return DONE
    except TurnwiseError as failure:
        code = report(failure, Output.err())
        error = f', "error": {json_text(error_as_json(failure, code))}'
    out.write(f'\n], "unproved": {json_text(list(unproved))}{error}}}\n')
    return code
