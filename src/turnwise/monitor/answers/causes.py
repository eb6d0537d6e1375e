"""The causes of something, as the tree of `turnwise why`, and its consequences, as the same tree forwards."""

from __future__ import annotations

from typing import Any, Final

from turnwise.history.consequences import Consequence, follow
from turnwise.history.why import Cause, why
from turnwise.journal.journal import Journal
from turnwise.monitor.answers.texts import shown, text_of

DEPTH_MAX: Final = 60
"""Turns behind each other in one answer: a tree that a page can show."""


def causes(
    journal: Journal, agent: str | None, round_: int | None, message: int | None, record: str | None, depth: int
) -> dict[str, Any]:
    """The tree behind a turn, a message or a recorded value, at most `DEPTH_MAX` turns behind each other."""
    return _tree(why(journal.path, agent, round_, message=message, record=record, depth=min(depth, DEPTH_MAX)))


def consequences(
    journal: Journal, agent: str | None, round_: int | None, message: int | None, depth: int
) -> dict[str, Any]:
    """The tree of what a turn or a message led to, at most `DEPTH_MAX` turns behind each other."""
    return _forward(follow(journal, agent, round_, message=message, depth=min(depth, DEPTH_MAX)))


def _forward(found: Consequence) -> dict[str, Any]:
    return {
        "kind": found.kind,
        "round": found.round,
        "agent": found.agent,
        "text": shown(found.text, 1_000),
        "told": found.told,
        "hidden": found.hidden,
        "causes": [_forward(one) for one in found.follows],
    }


def _tree(cause: Cause) -> dict[str, Any]:
    return {
        "kind": cause.kind,
        "round": cause.round,
        "agent": cause.agent,
        "text": shown(text_of(cause.text, ("text",)) if cause.kind == "effect" else cause.text, 1_000),
        "told": cause.told,
        "hidden": cause.hidden,
        "causes": [_tree(one) for one in cause.causes],
    }
