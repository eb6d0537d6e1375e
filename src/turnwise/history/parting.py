"""The place in which two answers of language models part: a token, and how likely it was."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from turnwise.core.records import EffectRecord
from turnwise.core.withheld import Withheld, WithheldTokens

ALTERNATIVES_MAX: Final = 5
"""Alternatives of a token that are kept on each side."""


@dataclass(frozen=True, slots=True)
class TokenSide:
    """The token that one of two answers has where they part."""

    id: int | None
    """Id of the token; None if the answer had ended, or if its tokens are not known."""
    text: str
    """Rest of the answer, from the character in which the two texts part."""
    logprob: float | None
    """Log probability of the token (natural logarithm), if the request asked for it."""
    top: tuple[tuple[str, float], ...]
    """Likeliest tokens there with their log probabilities, at most `ALTERNATIVES_MAX`; empty if not asked for."""


@dataclass(frozen=True, slots=True)
class AnswerParting:
    """Place in which the answers of two runs to one effect part."""

    effect: int
    """Number of the effect in its turn, from 0."""
    token: int | None
    """Number of the first token that differs, from 0; None where tokens are not recorded on both sides."""
    before: str
    """Text that both answers begin with."""
    left: TokenSide
    """Token of the first run."""
    right: TokenSide
    """Token of the second run."""


def parting(left: EffectRecord, right: EffectRecord) -> AnswerParting | None:
    """Return where two answers part; None if one of them is no text of a language model, or is not there any more."""
    answers = [_answer(effect) for effect in (left, right)]
    one, two = answers
    if one is None or two is None:
        return None
    texts = one["text"], two["text"]
    same = next((i for i, (a, b) in enumerate(zip(*texts, strict=False)) if a != b), min(len(texts[0]), len(texts[1])))
    token = _first_token(left.tokens, right.tokens)
    sides = [
        _side(effect.tokens, answer, token, text[same:])
        for effect, answer, text in zip((left, right), (one, two), texts, strict=True)
    ]
    return AnswerParting(left.index, token, texts[0][:same], sides[0], sides[1])


def _answer(effect: EffectRecord) -> dict[str, Any] | None:
    if effect.kind != "generate" or isinstance(effect.reply, Withheld):
        return None
    reply = json.loads(effect.reply)
    ok = reply.get("ok") if isinstance(reply, dict) else None
    return ok if isinstance(ok, dict) and isinstance(ok.get("text"), str) else None


def _first_token(left: tuple[int, ...] | None, right: tuple[int, ...] | None) -> int | None:
    if left is None or right is None or isinstance(left, WithheldTokens) or isinstance(right, WithheldTokens):
        return None
    if left == right:
        return None
    pairs = zip(left, right, strict=False)
    return next((index for index, (one, two) in enumerate(pairs) if one != two), min(len(left), len(right)))


def _side(tokens: tuple[int, ...] | None, answer: dict[str, Any], token: int | None, rest: str) -> TokenSide:
    if token is None or tokens is None:
        return TokenSide(None, rest, None, ())
    entries = answer.get("logprobs")
    entry = entries[token] if isinstance(entries, list) and token < len(entries) else None
    id_ = tokens[token] if token < len(tokens) else None
    if entry is None:
        return TokenSide(id_, rest, None, ())
    top = tuple([(each["text"], each["logprob"]) for each in entry["top"][:ALTERNATIVES_MAX]])
    return TokenSide(id_, rest, entry["logprob"], top)
