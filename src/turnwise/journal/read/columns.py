"""The columns of each table in the order in which they are decoded."""

from __future__ import annotations

from typing import Final

AGENT: Final = "SELECT place, name, kind, args, state, born, parent, grants FROM agents"
MESSAGE: Final = "SELECT seq, round, sender, receiver, body, recipients, {attach} FROM messages"
TURN: Final = (
    "SELECT round, place, turn, inbox, failure, message, state, wake_in, extra, stdout, fuel, executions FROM turns"
)
EFFECT: Final = "SELECT round, place, nr, kind, model, request, reply, {tokens} FROM effects"
LOG: Final = "SELECT round, place, nr, level, text FROM logs"
RECORD: Final = "SELECT round, place, nr, name, value FROM records"
WAVE: Final = "SELECT round, 0, nr, wave, model, requests, plan FROM waves"
ROUND: Final = (
    "SELECT round, head, execution, message_first, turns, failed, effects, logs, records, inputs, messages, spawned, "
    "agents, stopped, fuel, {waves}, {outcome}, {state} FROM rounds"
)
CHANGE: Final = "SELECT round, 0, nr, what, target, value FROM changes"
END: Final = "SELECT round, reason, result, message, {head} FROM ends"
PARK: Final = "SELECT round, place, turn, inbox, backlog, calls, spent, fuel, executions FROM parks"
QUESTION: Final = "SELECT round, place, id, nr, kind, request, deadline FROM questions"
ANSWER: Final = "SELECT round, 0, nr, question, reply FROM answers"
