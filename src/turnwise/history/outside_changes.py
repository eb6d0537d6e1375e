"""Changes from outside: in words, and whom they concern."""

from __future__ import annotations

from collections.abc import Callable

from turnwise.core.canonical import canonical
from turnwise.core.json_text import decode
from turnwise.core.plan_change import plan_concerns
from turnwise.core.records import ChangeRecord, MessageRecord
from turnwise.core.withheld import Withheld


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


def answer_text(reply: str) -> str:
    """Return the answer in a reply to a question in words: JSON, or why there is none."""
    if type(reply) is Withheld:
        return reply
    value = decode(reply)
    if "error" in value:
        return f"none ({value['error'].get('kind')})"
    ok = value.get("ok", {})
    return canonical(ok.get("answer", ok.get("text"))) + (", by default" if ok.get("default") is True else "")


def concerns(change: ChangeRecord, place: int, kind: str, message: Callable[[int], MessageRecord]) -> bool:
    """Return whether a change concerns an agent; `message` gives a message by its number."""
    if change.what == "plan":
        return plan_concerns(change.text or "", kind)
    if change.what == "drop" and change.target is not None:
        return place in message(change.target).recipients
    return change.target == place
