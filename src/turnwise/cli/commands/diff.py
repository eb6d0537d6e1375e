"""`turnwise diff`: where two runs differ, and what the difference reached."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from turnwise.cli.commands.options import Json, Parents
from turnwise.cli.errors import DIFFERENT, DONE
from turnwise.cli.output import Output, bold, dim, green, red
from turnwise.cli.text import count, json_text, shorten

if TYPE_CHECKING:
    from turnwise.history.diff import Diff, TurnDiff
    from turnwise.history.parting import AnswerParting, TokenSide
    from turnwise.journal.read.rows import Totals

NAME_COLUMNS = 10
ROUNDS_SHOWN_MAX = 20
NAMES_SHOWN_MAX = 12
PLAN_SHOWN_MAX = 10
VALUE_CHARS_MAX = 60
BEFORE_CHARS_MAX = 40
VALUES_SHOWN_MAX = 12
CHANGES_SHOWN_MAX = 20
CHANGE_CHARS_MAX = 160


def diff(
    left: Annotated[
        Path, typer.Argument(metavar="LEFT", help="The journal of a run, or a bundle.", show_default=False)
    ],
    right: Annotated[Path, typer.Argument(metavar="RIGHT", help="That of another.", show_default=False)],
    agent: Annotated[
        str | None, typer.Option("--agent", metavar="NAME", help="Only this agent's turns.", show_default=False)
    ] = None,
    parent: Parents = None,
    json: Json = False,
) -> int:
    """Say where two runs differ, and what the difference reached.

    Turns are compared by round and agent: what they read, asked, were answered, and left. For each turn that differs,
    the agents from which the difference came are named, and the groups over which it came; a turn without any is an
    origin. The exit code is 3 if anything differs.
    """
    from turnwise.evidence.opened import journal_of
    from turnwise.history.diff import diff as compare

    with journal_of(left) as left_file, journal_of(right) as right_file:
        found = compare(left_file, right_file, agent, parents=parent or ())
    out = Output.out()
    if json:
        out.write(json_text(_as_json(found)) + "\n")
    else:
        _show(found, out)
    return DONE if found.equal else DIFFERENT


def _show(found: Diff, out: Output) -> None:
    if found.common:
        told = "round 1" if found.common == 1 else f"rounds 1 to {found.common:,}"
        out.row(dim("common".ljust(NAME_COLUMNS)), f"{told}, which both have from one journal", indent=2)
    for name, left, right in found.plan[:PLAN_SHOWN_MAX]:
        out.row(dim("plan".ljust(NAME_COLUMNS)), f"{name}: {_short(left)} → {_short(right)}", indent=2)
    if len(found.plan) > PLAN_SHOWN_MAX:
        out.row(dim(" " * NAME_COLUMNS), f"and {len(found.plan) - PLAN_SHOWN_MAX} more", indent=2)
    for side, round_, words in found.changes[:CHANGES_SHOWN_MAX]:
        told = f"{side}, round {round_}: {shorten(words, CHANGE_CHARS_MAX)}"
        out.row(dim("changed".ljust(NAME_COLUMNS)), told, indent=2)
    if len(found.changes) > CHANGES_SHOWN_MAX:
        out.row(dim(" " * NAME_COLUMNS), f"and {len(found.changes) - CHANGES_SHOWN_MAX} more", indent=2)
    if not found.related:
        out.line(red("unrelated"), ": the runs share nothing (no agent's name, or nothing but names)")
        return
    if found.equal:
        out.line(green("equal"), f": {count(found.rounds, 'round')}, every turn")
        return
    if found.first is not None:
        _show_first(found.first, out)
        out.line(bold(count(found.count, "turn")), " that differs" if found.count == 1 else " that differ")
        rounds = [(number, list(turns)) for number, turns in groupby(found.turns, key=lambda turn: turn.round)]
        for number, turns in rounds[:ROUNDS_SHOWN_MAX]:
            out.row(dim(f"round {number}".ljust(NAME_COLUMNS)), _listed([_told(turn) for turn in turns]), indent=2)
        if len(rounds) > ROUNDS_SHOWN_MAX:
            out.row(dim(" " * NAME_COLUMNS), f"and {count(len(rounds) - ROUNDS_SHOWN_MAX, 'more round')}", indent=2)
        out.row(dim("reached".ljust(NAME_COLUMNS)), _listed(list(found.reached)), indent=2)
        out.row(dim("unreached".ljust(NAME_COLUMNS)), _listed(list(found.unreached)) or "nobody", indent=2)
    _show_totals(found.totals, out)
    if found.end is not None:
        out.line(red("ended"), " in other ways")
        out.row(dim("left".ljust(NAME_COLUMNS)), _short(found.end.expected), indent=2)
        out.row(dim("right".ljust(NAME_COLUMNS)), _short(found.end.actual), indent=2)


def _show_first(first: TurnDiff, out: Output) -> None:
    out.line(red("first"), f": round {first.round}, agent {first.agent}: {first.what}")
    if first.parting is not None:
        _show_parting(first.parting, out)
    elif first.what == "state" and isinstance(first.left, str) and isinstance(first.right, str):
        _show_changes(first.left, first.right, out)
    elif first.what == "record" and isinstance(first.left, list) and isinstance(first.right, list):
        _show_records(first.left, first.right, out)
    else:
        _show_place(first, out)


def _show_place(first: TurnDiff, out: Output) -> None:
    from turnwise.cli.difference import first_place

    place = first_place(first.left, first.right)
    out.line(dim("left".ljust(NAME_COLUMNS)), place.expected, indent=2)
    out.line(dim("right".ljust(NAME_COLUMNS)), place.actual, indent=2)
    out.line(" " * (NAME_COLUMNS + place.column), red("^"), indent=2)


def _show_parting(parting: AnswerParting, out: Output) -> None:
    """The text that two answers begin with, and the tokens in which they part."""
    before = parting.before[-BEFORE_CHARS_MAX:]
    before = ("…" if len(before) < len(parting.before) else "") + before
    at = "" if parting.token is None else f" (token {parting.token} is another)"
    out.row(dim("both".ljust(NAME_COLUMNS)), (json_text(before) if before else "nothing") + at, indent=2)
    for name, side in (("left", parting.left), ("right", parting.right)):
        out.row(dim(name.ljust(NAME_COLUMNS)), _side_told(side), indent=2)


def _side_told(side: TokenSide) -> str:
    facts = [] if side.id is None else [f"token {side.id}"]
    facts += [] if side.logprob is None else [f"log probability {side.logprob:g}"]
    if side.top:
        facts.append("likeliest: " + ", ".join([f"{json_text(text)} {logprob:g}" for text, logprob in side.top]))
    told = shorten(side.text, VALUE_CHARS_MAX) or "(end)"
    return f"{told}  ({'; '.join(facts)})" if facts else told


def _show_changes(left: str, right: str, out: Output) -> None:
    """Values of a state that differ, by their paths."""
    from turnwise.cli.difference import changes

    found = changes(left, right)
    for change in found[:VALUES_SHOWN_MAX]:
        out.row(dim(change.sign.ljust(NAME_COLUMNS)), str(change), indent=2)
    if len(found) > VALUES_SHOWN_MAX:
        out.row(dim(" " * NAME_COLUMNS), f"and {len(found) - VALUES_SHOWN_MAX} more", indent=2)


def _show_records(left: list[tuple[str, object]], right: list[tuple[str, object]], out: Output) -> None:
    """Recorded values by name, those of the first run beside those of the second."""
    sides = [dict(side) for side in (left, right)]
    names = dict.fromkeys((*sides[0], *sides[1]))
    unlike = [
        name for name in names if name not in sides[0] or name not in sides[1] or sides[0][name] != sides[1][name]
    ]
    for name in unlike[:VALUES_SHOWN_MAX]:
        one, two = [_short(side[name]) if name in side else "not recorded" for side in sides]
        out.row(dim("record".ljust(NAME_COLUMNS)), f"{name}: {one} → {two}", indent=2)
    if len(unlike) > VALUES_SHOWN_MAX:
        out.row(dim(" " * NAME_COLUMNS), f"and {len(unlike) - VALUES_SHOWN_MAX} more", indent=2)
    if not unlike:  # the same names and values in another order, or more than once
        out.row(dim("record".ljust(NAME_COLUMNS)), f"{_short(left)} → {_short(right)}", indent=2)


def _show_totals(totals: tuple[Totals, Totals], out: Output) -> None:
    """Numbers of the two runs that differ, beside each other."""
    left, right = [asdict(side) for side in totals]
    unlike = [f"{name} {left[name]:,} → {right[name]:,}" for name in left if left[name] != right[name]]
    if unlike:
        out.row(dim("took".ljust(NAME_COLUMNS)), ", ".join(unlike), indent=2)


def _told(turn: TurnDiff) -> str:
    causes = [cause for cause in turn.causes if cause != turn.agent]
    over = f"over {', '.join(turn.groups)}" if turn.groups else ""
    if not turn.causes and not over:
        return f"{turn.agent} (origin)"
    told = f"from {', '.join(causes)} {over}".strip() if causes else over
    return f"{turn.agent} ({told})" if told else turn.agent


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
        "common": found.common,
        "changes": [{"side": side, "round": round_, "change": words} for side, round_, words in found.changes],
        "first": None if found.first is None else _turn_json(found.first),
        "turns": [_turn_json(turn) for turn in found.turns],
        "count": found.count,
        "reached": found.reached,
        "unreached": list(found.unreached),
        "rounds": found.rounds,
        "totals": {"left": asdict(found.totals[0]), "right": asdict(found.totals[1])},
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
        "groups": list(turn.groups),
        "parting": None if turn.parting is None else asdict(turn.parting),
    }
