"""Outcomes of calls, as texts that are recorded: replies, questions to people, and requests to models."""

from __future__ import annotations

from typing import Any

from turnwise.core.canonical import canonical
from turnwise.core.envelope import error_reply
from turnwise.core.json_text import decode
from turnwise.tools.protocol import CallAnswer, CallRefused, ServerQuestions, ServerSamples
from turnwise.tools.secrets import Secrets

DEPTH_MAX = 62
"""Lists and objects inside each other, in a result: a reply has two around it."""


def outcome_of(answer: CallAnswer, secrets: Secrets, bytes_max: int) -> str:
    """Return the outcome that an answer of a server is: canonical JSON text, no secret in it."""
    try:
        text = _text(answer, secrets)
    except (ValueError, RecursionError) as error:
        return error_reply("tool", f"its result cannot be recorded: {str(error)[:600]}")
    size = len(text.encode())
    if size > bytes_max:
        return error_reply("tool", f"its result takes {size:,} bytes, and at most {bytes_max:,} are taken (reply_kib)")
    return text


def _text(answer: CallAnswer, secrets: Secrets) -> str:
    if isinstance(answer, CallRefused):
        return error_reply(answer.kind, secrets.masked(answer.message))
    if isinstance(answer, ServerQuestions | ServerSamples) and secrets.masked(answer.state) != answer.state:
        return error_reply("tool", "a secret stands in the state that it gives to go on with, which would be recorded")
    if isinstance(answer, ServerQuestions):
        questions = [
            {"key": one.key, "text": secrets.masked(one.text)} | ({} if one.schema is None else {"schema": one.schema})
            for one in answer.questions
        ]
        if not questions or len({one.key for one in answer.questions}) < len(questions):
            return error_reply("tool", "it asks people nothing, or two questions by one name")
        return canonical({"ask": {"questions": secrets.masked_value(questions), "state": answer.state}})
    if isinstance(answer, ServerSamples):
        requests = [
            {"key": one.key, "hints": secrets.masked_value(one.hints), "request": secrets.masked_value(one.request)}
            for one in answer.samples
        ]
        if not requests or len({one.key for one in answer.samples}) < len(requests):
            return error_reply("tool", "it asks models nothing, or two things by one name")
        return canonical({"sample": {"requests": requests, "state": answer.state}})
    ok: dict[str, Any] = {"text": secrets.masked(answer.text)}
    data = decode(bytes(answer.data).decode(), DEPTH_MAX)
    if data is not None:
        ok["data"] = secrets.masked_value(data)
    return canonical({"ok": ok})
