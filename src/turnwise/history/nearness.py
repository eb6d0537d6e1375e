"""Distances of recorded answers from what a model gives here, and a test of whether they are those of the same model.

Two machines round otherwise, so a few tokens are others than this machine's own choice, by a little; of another model
they are many, by more. So what is tested is the mean distance, in margins: the hypothesis is that whatever came before,
the next token is expected to be no further than `MEAN_MARGINS_MAX`. The sum

    R(n) = (1 + R(n - 1)) * (1 + STAKE * (x(n) - MEAN_MARGINS_MAX)), where R(0) = 0 and x(n) is a distance in margins,

is what is won in a fair or unfavourable game by one who begins a bet with every token and stakes all that he has won.
Under the hypothesis R(n) - n falls on average, so R reaches N / FALSE_ALARM within N tokens with a probability of at
most `FALSE_ALARM` (Ville's inequality), whatever the distribution of distances is, and whenever one looks. Since bets
begin everywhere, another model is found as soon behind many honest answers as in front of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from turnwise.inference.requests.check_request import CheckReply

MEAN_MARGINS_MAX: Final = 0.05
"""Mean distance of a token that is borne, in margins."""
STAKE: Final = 4.0
"""Stake on a token: a distance of one margin more than is borne wins so many times what was won before."""
FALSE_ALARM: Final = 1e-6
"""Probability, at most, with which a run is refused although the mean distance is borne."""


@dataclass(frozen=True, slots=True)
class Nearness:
    """Result of a tolerant check: how far recorded answers are from what a model gives on this machine."""

    tokens: int = 0
    """Tokens that were compared."""
    others: int = 0
    """Tokens instead of which another is chosen here."""
    farthest: float = 0.0
    """Least change of logits with which all of them are chosen here."""
    margin: float = 0.0
    """Change of logits that was allowed, at most."""
    mean: float = 0.0
    """Change of logits that a token needs, on average."""
    mean_max: float = 0.0
    """Change of logits that it may need, on average."""

    def with_reply(self, reply: CheckReply) -> Nearness:
        """Return what holds of these answers and one more."""
        distances = [distance for _, distance in reply.others]
        tokens = self.tokens + reply.tokens
        return Nearness(
            tokens,
            self.others + len(distances),
            max([self.farthest, *distances]),
            max(self.margin, reply.margin),
            (self.mean * self.tokens + sum(distances)) / max(tokens, 1),
            max(self.margin, reply.margin) * MEAN_MARGINS_MAX,
        )


@dataclass(frozen=True, slots=True)
class Excess:
    """Tokens whose distances are too large for another machine with the same model.

    - `answer`: number of the answer in which that is seen
    - `tokens`: how many tokens show it, that one and those before it
    - `mean`: their mean distance, in margins
    """

    answer: int
    tokens: int
    mean: float


def excess(answers: list[CheckReply]) -> Excess | None:
    """Return where answers, in their order, are too far away on average; None if they are not."""
    total = sum(reply.tokens for reply in answers)
    won, growing = 0.0, 1.0  # `growing`: the same for one who begins anew where he would have won more by that
    count, far = 0, 0.0
    for answer, reply in enumerate(answers):
        for distance in _in_margins(reply):
            factor = 1.0 + STAKE * (distance - MEAN_MARGINS_MAX)
            if growing <= 1.0:
                growing, count, far = 1.0, 0, 0.0
            won, growing = (1.0 + won) * factor, growing * factor
            count, far = count + 1, far + distance
            if won >= total / FALSE_ALARM:
                return Excess(answer, count, far / count)
    return None


def _in_margins(reply: CheckReply) -> Iterator[float]:
    others = dict(reply.others)
    for index in range(reply.tokens):
        yield others.get(index, 0.0) / reply.margin
