"""`turnwise diff`: where two runs differ, and what the difference reached."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from turnwise.cli.commands.options import Json
from turnwise.cli.errors import DIFFERENT, DONE
from turnwise.cli.output import Output, bold, dim, green, red
from turnwise.cli.text import count, json_text, shorten

if TYPE_CHECKING:
    from turnwise.history.diff import Diff, TurnDiff

NAME_COLUMNS = 10
ROUNDS_SHOWN_MAX = 20
NAMES_SHOWN_MAX = 12
PLAN_SHOWN_MAX = 10
VALUE_CHARS_MAX = 60


def diff(
    left: Annotated[
        Path, typer.Argument(metavar="LEFT", help="The journal of a run, or a bundle.", show_default=False)
    ],
    right: Annotated[Path, typer.Argument(metavar="RIGHT", help="That of another.", show_default=False)],
    agent: Annotated[
        str | None, typer.Option("--agent", metavar="NAME", help="Only this agent's turns.", show_default=False)
    ] = None,
    json: Json = False,
) -> int:
    """Say where two runs differ, and what the difference reached.

    Turns are compared by round and agent: what they read, asked, were answered, and left. For each turn that differs,
    the agents from which the difference came are named; a turn without any is an origin. The exit code is 3 if
    anything differs.
    """
    from turnwise.evidence.opened import journal_of
    from turnwise.history.diff import diff as compare

    with journal_of(left) as left_file, journal_of(right) as right_file:
        found = compare(left_file, right_file, agent)
    out = Output.out()
    if json:
        out.write(json_text(_as_json(found)) + "\n")
    else:
        _show(found, out)
    return DONE if found.equal else DIFFERENT


def _show(found: Diff, out: Output) -> None:
    for name, left, right in found.plan[:PLAN_SHOWN_MAX]:
        out.row(dim("plan".ljust(NAME_COLUMNS)), f"{name}: {_short(left)} → {_short(right)}", indent=2)
    if len(found.plan) > PLAN_SHOWN_MAX:
        out.row(dim(" " * NAME_COLUMNS), f"and {len(found.plan) - PLAN_SHOWN_MAX} more", indent=2)
    if not found.related:
        out.line(red("unrelated"), ": no agent is in both runs")
        return
    if found.equal:
        out.line(green("equal"), f": {count(found.rounds, 'round')}, every turn")
        return
    if found.first is not None:
        _show_first(found.first, out)
        out.line(bold(count(found.count, "turn")), " that differ")
        rounds = [(number, list(turns)) for number, turns in groupby(found.turns, key=lambda turn: turn.round)]
        for number, turns in rounds[:ROUNDS_SHOWN_MAX]:
            out.row(dim(f"round {number}".ljust(NAME_COLUMNS)), _listed([_told(turn) for turn in turns]), indent=2)
        if len(rounds) > ROUNDS_SHOWN_MAX:
            out.row(dim(" " * NAME_COLUMNS), f"and {count(len(rounds) - ROUNDS_SHOWN_MAX, 'more round')}", indent=2)
        out.row(dim("reached".ljust(NAME_COLUMNS)), _listed(list(found.reached)), indent=2)
        out.row(dim("unreached".ljust(NAME_COLUMNS)), _listed(list(found.unreached)) or "nobody", indent=2)
    if found.end is not None:
        out.line(red("ended"), " in other ways")
        out.row(dim("left".ljust(NAME_COLUMNS)), _short(found.end.expected), indent=2)
        out.row(dim("right".ljust(NAME_COLUMNS)), _short(found.end.actual), indent=2)


def _show_first(first: TurnDiff, out: Output) -> None:
    from turnwise.cli.difference import first_place

    place = first_place(first.left, first.right)
    out.line(red("first"), f": round {first.round}, agent {first.agent}: {first.what}")
    out.line(dim("left".ljust(NAME_COLUMNS)), place.expected, indent=2)
    out.line(dim("right".ljust(NAME_COLUMNS)), place.actual, indent=2)
    out.line(" " * (NAME_COLUMNS + place.column), red("^"), indent=2)


def _told(turn: TurnDiff) -> str:
    causes = [cause for cause in turn.causes if cause != turn.agent]
    if not turn.causes:
        return f"{turn.agent} (origin)"
    return f"{turn.agent} (from {', '.join(causes)})" if causes else turn.agent


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN_MAX:,} more" if len(names) > NAMES_SHOWN_MAX else ""
    return ", ".join(names[:NAMES_SHOWN_MAX]) + more


def _short(value: object) -> str:
    from turnwise.cli.difference import as_text

    return shorten(as_text(value), VALUE_CHARS_MAX)


def _as_json(found: Diff) -> dict[str, object]:
    return {
        "equal": found.equal,
        "related": found.related,
        "plan": [{"name": name, "left": left, "right": right} for name, left, right in found.plan],
        "first": None if found.first is None else _turn_json(found.first),
        "turns": [_turn_json(turn) for turn in found.turns],
        "count": found.count,
        "reached": found.reached,
        "unreached": list(found.unreached),
        "rounds": found.rounds,
        "end": None if found.end is None else {"left": found.end.expected, "right": found.end.actual},
    }


def _turn_json(turn: TurnDiff) -> dict[str, object]:
    return {
        "round": turn.round,
        "agent": turn.agent,
        "what": turn.what,
        "left": turn.left,
        "right": turn.right,
        "causes": list(turn.causes),
    }
