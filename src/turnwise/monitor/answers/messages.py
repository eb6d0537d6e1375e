"""Messages of a range of rounds: who sent how much to whom, and the messages themselves."""

from __future__ import annotations

from typing import Any, Final

from turnwise.journal.journal import Journal
from turnwise.monitor.answers.names import AgentNames
from turnwise.monitor.answers.texts import CHARS_WHOLE_MAX, shown
from turnwise.monitor.answers.turn import message_row

FLOWS_MAX: Final = 20_000
"""Pairs of agents of one answer, the busiest first; the page says how many more there are."""
MESSAGES_MAX: Final = 200
"""Messages of one answer."""
SCANNED_MAX: Final = 50_000
"""Messages that are looked at for one answer; the page goes on from where it ended."""


def flows(journal: Journal, round_first: int, round_last: int) -> dict[str, Any]:
    """Counts of messages by sender and recipient, places each, -1 for outside."""
    found = journal.grid.flows(*journal.grid.span_of_messages(round_first, round_last))
    found.sort(key=lambda flow: (-flow.messages, -1 if flow.sender is None else flow.sender, flow.recipient))
    return {
        "flows": [
            [-1 if flow.sender is None else flow.sender, flow.recipient, flow.messages] for flow in found[:FLOWS_MAX]
        ],
        "messages": sum(flow.messages for flow in found),
        "hidden": max(0, len(found) - FLOWS_MAX),
    }


def messages(
    journal: Journal,
    round_first: int,
    round_last: int,
    *,
    senders: tuple[str, ...],
    to: tuple[str, ...],
    seq_first: int,
) -> dict[str, Any]:
    """Messages in order, from those senders and to those recipients if any are named.

    They begin with the sequence number `seq_first`; `next` is that with which to go on, or None at the end.
    """
    names = AgentNames(journal)
    first, end = journal.grid.span_of_messages(round_first, round_last)
    wanted = {names.place(name) for name in to}
    found: list[dict[str, Any]] = []
    start = max(first, seq_first)
    for message in journal.queries.messages(start):
        if message.seq >= end:
            break
        if len(found) == MESSAGES_MAX or message.seq >= start + SCANNED_MAX:
            return {"messages": found, "next": message.seq}
        if senders and names.of(message.sender) not in senders:
            continue
        if wanted and wanted.isdisjoint(message.recipients):
            continue
        found.append(message_row(message, names))
    return {"messages": found, "next": None}


def message(journal: Journal, seq: int) -> dict[str, Any]:
    """One message, whole, and the turns that read it."""
    names = AgentNames(journal)
    found = journal.queries.message(seq)
    return {**message_row(found, names), "body": shown(found.body, CHARS_WHOLE_MAX)}
