"""Questions to people: the request that asks one, and the answer in its reply."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from turnwise_guest.errors import EffectError
from turnwise_guest.jsontext import canonical, check_text

NO_DEFAULT: Final = object()
"""Stands for a default that was not given, since None is one."""

ROUNDS_MAX: Final = 2**31 - 1


def ask_request(question: str, schema: Mapping[str, Any] | None, deadline: int | None, default: Any) -> dict[str, Any]:
    """Return the request that asks a question. Raises `TypeError` or `ValueError` for what cannot be one."""
    if not isinstance(question, str):
        raise TypeError(f"question is a text, not {question!r}")
    if not question.strip():
        raise ValueError("question is empty")
    check_text(question, "question")
    request: dict[str, Any] = {"effect": "ask", "question": question}
    if schema is not None:
        if not isinstance(schema, Mapping):
            raise TypeError(f"schema is a dict, a JSON schema, not {schema!r}")
        request["schema"] = json.loads(canonical(dict(schema), "schema"))
    if deadline is not None:
        if isinstance(deadline, bool) or not isinstance(deadline, int):
            raise TypeError(f"deadline is a number of rounds, not {deadline!r}")
        if not 1 <= deadline <= ROUNDS_MAX:
            raise ValueError(f"deadline is between 1 (the next round) and {ROUNDS_MAX} rounds, not {deadline}")
        request["deadline"] = deadline
    if default is not NO_DEFAULT:
        if deadline is None:
            raise TypeError("default is what is taken when a deadline has passed: give deadline= too")
        request["default"] = json.loads(canonical(default, "default"))
    return request


def answer_of(reply: dict[str, Any]) -> Any:
    """Return the answer in a reply. Raises `EffectError`."""
    if "error" in reply:
        raise EffectError(reply["error"]["kind"], reply["error"]["message"])
    return reply["ok"]["answer"]
