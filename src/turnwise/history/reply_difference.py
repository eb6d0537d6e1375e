"""The difference of a reply of a model from the recorded one: its text, and the token in which the two part."""

from __future__ import annotations

import json
from dataclasses import dataclass

from turnwise.core.compare import Difference
from turnwise.inference.requests.check_request import AnswerDeparture, SpelledToken


@dataclass(frozen=True, slots=True)
class TokenDifference:
    """The token from which on two answers part, with its text; None for an answer that has ended."""

    index: int
    """Number of the token in the answer, from 0."""
    before: str
    """Text of the answer before it, or the end of that text."""
    expected: SpelledToken | None
    """Token that is recorded."""
    actual: SpelledToken | None
    """Token that is chosen here."""


def named_reply(found: Difference, model: str) -> Difference:
    """Name the model, and where two texts differ, show these instead of the whole replies."""
    what = f"{found.what} of {model}"
    left, right = _text(found.expected), _text(found.actual)
    if left is not None and right is not None and left != right:
        return Difference(found.round, found.agent, f"{what}, text", left, right)
    return Difference(found.round, found.agent, what, found.expected, found.actual)


def token_difference(departure: AnswerDeparture) -> TokenDifference:
    """Return the token in which an answer leaves what is recorded."""
    return TokenDifference(departure.index or 0, departure.before, departure.expected, departure.actual)


def shown(before: str, token: SpelledToken | None) -> str:
    """Return a token behind the text before it."""
    return f"{before}(end)" if token is None else f"{before}{token.text}"


def _text(reply: object) -> str | None:
    try:
        text = json.loads(str(reply))["ok"]["text"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return text if isinstance(text, str) else None
