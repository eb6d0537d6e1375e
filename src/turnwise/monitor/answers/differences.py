"""Two runs beside each other, as `turnwise diff` compares them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from turnwise.evidence.opened import journal_of
from turnwise.history.diff import Diff, TurnDiff, diff
from turnwise.journal.journal import Journal
from turnwise.monitor.answers.texts import CHARS_WHOLE_MAX, shown

TURNS_MAX: Final = 2_000
"""Turns that differ and are listed; all are counted."""
NAMES_MAX: Final = 500


def differences(left: Path, right: Path, parents: Sequence[Path] = ()) -> dict[str, Any]:
    """The first difference, and what it reached. `parents` are places of journals that forks go on from."""
    with journal_of(left) as left_file, journal_of(right) as right_file:
        found = diff(left_file, right_file, parents=parents)
        last = [_last_round(path, parents) for path in (left_file, right_file)]
    return {
        "branches": {"common": found.common, "last": last},
        "equal": found.equal,
        "related": found.related,
        "plan": [{"name": name, "left": shown(str(one)), "right": shown(str(two))} for name, one, two in found.plan],
        "changes": [{"side": side, "round": round_, "change": shown(words)} for side, round_, words in found.changes],
        "first": None if found.first is None else _first(found.first),
        "turns": [[turn.round, turn.agent, turn.what, list(turn.causes)] for turn in found.turns[:TURNS_MAX]],
        "count": found.count,
        "reached": dict(list(found.reached.items())[:NAMES_MAX]),
        "reached_count": len(found.reached),
        "unreached": list(found.unreached[:NAMES_MAX]),
        "unreached_count": len(found.unreached),
        "rounds": found.rounds,
        "totals": [asdict(side) for side in found.totals],
        "end": _end(found),
    }


def _last_round(path: Path, parents: Sequence[Path]) -> int:
    with Journal.open(path, parents=parents) as journal:
        return journal.rounds.last_round


def _first(turn: TurnDiff) -> dict[str, Any]:
    parting = turn.parting
    return {
        "round": turn.round,
        "agent": turn.agent,
        "what": turn.what,
        "left": shown(_text(turn.left), CHARS_WHOLE_MAX),
        "right": shown(_text(turn.right), CHARS_WHOLE_MAX),
        "causes": list(turn.causes),
        "before": None if parting is None else shown(parting.before, CHARS_WHOLE_MAX),
        "parted": None if parting is None else [shown(side.text) for side in (parting.left, parting.right)],
        "logprobs": None if parting is None else [parting.left.logprob, parting.right.logprob],
    }


def _end(found: Diff) -> dict[str, Any] | None:
    if found.end is None:
        return None
    return {"left": shown(str(found.end.expected)), "right": shown(str(found.end.actual))}


def _text(value: object) -> str:
    return value if isinstance(value, str) else "nothing" if value is None else repr(value)
