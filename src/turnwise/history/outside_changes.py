"""Changes from outside: in words, and whom they concern."""

from __future__ import annotations

from collections.abc import Callable

from turnwise.core.plan_change import plan_concerns
from turnwise.core.records import ChangeRecord, MessageRecord


def change_text(change: ChangeRecord, name_of: Callable[[int], str]) -> str:
    """Return a change in words; `name_of` names the agent at a place."""
    text = change.text or ""
    if change.what == "plan" or change.target is None:
        return f"the plan: {text}"
    if change.what == "drop":
        return f"message {change.target} is not read"
    name = name_of(change.target)
    if change.what == "stop":
        return f"{name} is stopped"
    return f"{'arguments' if change.what == 'args' else 'state'} of {name}: {text}"


def concerns(change: ChangeRecord, place: int, kind: str, message: Callable[[int], MessageRecord]) -> bool:
    """Return whether a change concerns an agent; `message` gives a message by its number."""
    if change.what == "plan":
        return plan_concerns(change.text or "", kind)
    if change.what == "drop" and change.target is not None:
        return place in message(change.target).recipients
    return change.target == place
