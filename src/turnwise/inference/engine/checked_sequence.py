"""A recorded answer, held against the logits of a model: its tokens are given, none is chosen.

The prompt and the answer run as one prompt, whose logits are those before each token of the answer. What a generation
does with a token (grammar, penalties, stop strings, text, the end) is done with the recorded ones, so the reply that
comes of it must be the recorded reply; and each token must be one that logits within a margin of these choose.
Of those that are not the model's own choice the distances are told: whether they are too many is asked of all answers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence as Items
from typing import Any, Final

from numpy.typing import NDArray

from turnwise.inference.engine.sequence import Sequence, prepare
from turnwise.inference.requests.check_request import AnswerDeparture, CheckReply, CheckRequest, SpelledToken
from turnwise.inference.requests.refusal import Refusal, error_body
from turnwise.inference.sampling.choose import UnusableLogits
from turnwise.inference.text.tokenizer import Tokenizer

CONTEXT_CHARS: Final = 60


class CheckedSequence:
    """One recorded answer. `prompt` is what runs: the prompt of the request, and the answer but its last token.

    `wanted` is the number of positions, the last of `prompt`, whose logits `accept` takes in order. `reply` is there
    once it has come to its end.
    """

    def __init__(self, check: CheckRequest, sequence: Sequence, margin: float) -> None:
        self.id = check.request.id
        self.prompt = [*sequence.prompt, *check.tokens[:-1]]
        self.wanted = len(check.tokens)
        self.reply: CheckReply | None = None
        self._check = check
        self._sequence = sequence
        self._margin = sequence.margin(margin)
        self._others: list[tuple[int, float]] = []

    @property
    def capacity(self) -> int:
        """Positions of KV cache that it needs: one more than it runs, for the token that makes a piece even."""
        return len(self.prompt) + 1

    def accept(self, logits: NDArray[Any]) -> None:
        """Take the logits (shape [vocabulary]) before the next token of the answer."""
        if self.reply is not None:
            return
        sequence, index = self._sequence, self._sequence.tokens
        token = self._check.tokens[index]
        try:
            own, away = sequence.hold(logits, token, self._margin)
        except (Refusal, UnusableLogits) as error:
            self._depart(AnswerDeparture(f"no token can be chosen here: {error}", index, self._before()))
            return
        if own != token:
            if away is None:
                what = f"the token is further than {self._margin:.3g} from what this model chooses"
                self._depart(self._departure(what, index, token, own))
                return
            self._others.append((index, away))
        sequence.give(token, logits)
        if sequence.finish is not None:
            self._end()
        elif sequence.tokens == self.wanted:
            self._depart(self._departure("the answer ends, and would go on", sequence.tokens, None, None))

    def _end(self) -> None:
        tokens = self._sequence.tokens
        if tokens < self.wanted:
            what = f"the answer has ended ({self._sequence.finish}), and goes on in the record"
            self._depart(self._departure(what, tokens, self._check.tokens[tokens], None))
        elif problem := _unlike(self._check.reply, self._sequence.reply_body() or "", 2 * self._margin):
            self._depart(AnswerDeparture(problem))
        else:
            self._depart(None)

    def _departure(self, what: str, index: int, recorded: int | None, own: int | None) -> AnswerDeparture:
        spell = self._sequence.spell
        expected = None if recorded is None else SpelledToken(recorded, spell(recorded))
        actual = None if own is None else SpelledToken(own, spell(own))
        return AnswerDeparture(what, index, self._before(), expected, actual)

    def _before(self) -> str:
        return self._sequence.text[-CONTEXT_CHARS:]

    def _depart(self, departure: AnswerDeparture | None) -> None:
        self.reply = CheckReply(self.id, self._sequence.tokens, tuple(self._others), self._margin, departure)


def begin_check(check: CheckRequest, margin: float, context_length: int, **parts: Any) -> CheckedSequence | CheckReply:
    """Begin a check, or answer it, where the request is refused or the record is none of this model."""
    number = check.request.id
    if check.own is not None:
        return CheckReply(number, 0, (), margin, _parted(check.tokens, check.own, **parts))
    try:
        sequence = prepare(check.request, context_length=context_length, pieces=False, **parts)
    except Refusal as refusal:
        return refused(number, check, margin, error_body(refusal.kind, refusal.message))
    if check.reply.startswith('{"error":'):
        return CheckReply(number, 0, (), margin, compared=False)
    ids_end = parts["tokenizer"].ids_end
    if not check.tokens or max(check.tokens) >= ids_end or len(check.tokens) > sequence.tokens_max:
        what = "the record has no tokens, more than were asked for, or some that this model does not have"
        return CheckReply(number, 0, (), margin, AnswerDeparture(what))
    return CheckedSequence(check, sequence, margin)


def _parted(
    recorded: Items[int], own: Items[int], *, tokenizer: Tokenizer, ends: frozenset[int], **_: Any
) -> AnswerDeparture | None:
    """Name the first token in which two answers part; None if they do not."""
    index = 0
    while index < min(len(recorded), len(own)) and recorded[index] == own[index]:
        index += 1
    if index == len(recorded) == len(own):
        return None
    vocabulary, texts = tokenizer.vocabulary(ends), tokenizer.detokenizer(())
    before = "".join([texts.push(token) for token in recorded[:index]])[-CONTEXT_CHARS:]
    spelled = [
        SpelledToken(tokens[index], vocabulary.token_text(tokens[index])) if index < len(tokens) else None
        for tokens in (recorded, own)
    ]
    return AnswerDeparture("another token is chosen here", index, before, *spelled)


def refused(number: int, check: CheckRequest, margin: float, body: str) -> CheckReply:
    """Answer a check whose request is refused here with this body."""
    if body == check.reply:
        return CheckReply(number, 0, (), margin)
    return CheckReply(number, 0, (), margin, AnswerDeparture(f"the request is refused here: {body}"))


def _unlike(recorded: str, here: str, around: float) -> str | None:
    """Name the member in which two replies differ; log probabilities may differ by `around`."""
    try:
        left, right = json.loads(recorded)["ok"], json.loads(here)["ok"]
        names = sorted(left.keys() | right.keys())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "the recorded reply is not that of a generation"
    for name in names:
        one, other = left.get(name), right.get(name)
        if name == "logprobs":
            if not _near(one, other, around):
                return f"log probabilities are further than {around:.3g} from those here"
        elif one != other or type(one) is not type(other):
            return f"{name} is {one!r}, and the tokens give {other!r}"
    return None


def _near(recorded: Any, here: Any, around: float) -> bool:
    """True if two lists of log probabilities are of the same tokens, and near. Alternatives may change their order."""
    try:
        return len(recorded) == len(here) and all(
            _near_entry(one, other, around) and _near_tops(one["top"], other["top"], around)
            for one, other in zip(recorded, here, strict=True)
        )
    except (KeyError, TypeError):
        return False


def _near_entry(one: Any, other: Any, around: float) -> bool:
    same = (one["id"], one["text"]) == (other["id"], other["text"])
    return same and abs(one["logprob"] - other["logprob"]) <= around + 1e-5


def _near_tops(recorded: Items[Any], here: Items[Any], around: float) -> bool:
    """True if alternatives that both name are near, and those that one names alone are near the least of the other."""
    ours = {entry["id"]: entry for entry in here}
    least = min((entry["logprob"] for entry in here), default=0.0)
    return len(recorded) == len(here) and all(
        _near_entry(entry, ours[entry["id"]], around)
        if entry["id"] in ours
        else abs(entry["logprob"] - least) <= 2 * around + 1e-5
        for entry in recorded
    )
