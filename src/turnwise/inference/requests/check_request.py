"""The check of an answer that is recorded: its tokens are given, and the model only says how far it is from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from turnwise.inference.requests.generate_request import GenerateRequest

RANK_MAX: Final = 5
"""Likeliest tokens among which the recorded one must be, where the likeliest is taken."""


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """A recorded answer to a request.

    - `request`: as it was asked
    - `tokens`: of the answer, its end token included
    - `reply`: the recorded reply, canonical JSON text
    - `own`: tokens that were generated here instead; then nothing runs, and the token is named in which they part
    """

    request: GenerateRequest
    tokens: tuple[int, ...]
    reply: str
    own: tuple[int, ...] | None = None

    @property
    def id(self) -> int:
        """Number of the request."""
        return self.request.id

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.request.model

    @property
    def body(self) -> str:
        """Text of the request."""
        return self.request.body


@dataclass(frozen=True, slots=True)
class SpelledToken:
    """A token with its text."""

    id: int
    text: str


@dataclass(frozen=True, slots=True)
class AnswerDeparture:
    """The place from which on a recorded answer is not one that this model could have given.

    - `index`: number of the token in the answer; None if tokens are not the matter
    - `what`: what is wrong, in words
    - `before`: the text of the answer before it
    - `expected`, `actual`: the recorded token and the one that is chosen here, None where there is none
    """

    what: str
    index: int | None = None
    before: str = ""
    expected: SpelledToken | None = None
    actual: SpelledToken | None = None


@dataclass(frozen=True, slots=True)
class CheckReply:
    """Result of a check.

    - `id`: of the request
    - `tokens`: those that were compared
    - `others`: those of them instead of which another is chosen here: the number of each in the answer, rising, and by
      how much logits have to be others, at least, for it to be chosen
    - `margin`: by how much they may be
    - `departure`: why the answer is refused; None if it is not
    - `compared`: False where an error is recorded, and this machine cannot say whether it would have come to it
    """

    id: int
    tokens: int
    others: tuple[tuple[int, float], ...]
    margin: float
    departure: AnswerDeparture | None = None
    compared: bool = True
