"""Distances of the same model elsewhere are borne however many they are; those of another model are not for long."""

from __future__ import annotations

from random import Random

import pytest

from turnwise.history.nearness import FALSE_ALARM, MEAN_MARGINS_MAX, Nearness, excess
from turnwise.inference.requests.check_request import CheckReply

MARGIN = 0.5
ANSWER_TOKENS = 50


def answers(seed: int, count: int, others: float, margins: float) -> list[CheckReply]:
    """Answers of which a share of `others` tokens is another here, by up to `margins`."""
    chance = Random(seed)
    return [
        CheckReply(
            number,
            ANSWER_TOKENS,
            tuple(
                (index, chance.random() * margins * MARGIN)
                for index in range(ANSWER_TOKENS)
                if chance.random() < others
            ),
            MARGIN,
        )
        for number in range(count)
    ]


@pytest.mark.parametrize(("others", "margins"), [(0.1, 1.0), (1.0, 0.1), (0.2, 0.25), (0.0, 0.0)])
def test_what_is_borne_on_average_is_borne_for_long(others: float, margins: float) -> None:
    assert others * margins / 2 <= MEAN_MARGINS_MAX
    for seed in range(10):
        assert excess(answers(seed, 400, others, margins)) is None


@pytest.mark.parametrize(("others", "margins", "tokens_max"), [(0.5, 1.0, 150), (1.0, 1.0, 100), (0.4, 0.8, 450)])
def test_another_model_is_found_soon(others: float, margins: float, tokens_max: int) -> None:
    for seed in range(10):
        found = excess(answers(seed, 20, others, margins))
        assert found is not None
        assert found.answer * ANSWER_TOKENS < tokens_max
        assert found.tokens < tokens_max
        assert found.mean > MEAN_MARGINS_MAX


def test_another_model_is_found_as_soon_behind_honest_answers() -> None:
    honest = answers(0, 400, 0.2, 0.25)
    found = excess([*honest, *answers(1, 20, 0.5, 1.0)])
    assert found is not None
    assert len(honest) <= found.answer < len(honest) + 4
    assert found.tokens < 200


def test_a_few_tokens_prove_nothing() -> None:
    """One token within the margin may be by chance; whether it is too far away is asked of each by itself."""
    assert excess([CheckReply(0, 3, ((0, MARGIN), (1, MARGIN), (2, MARGIN)), MARGIN)]) is None
    assert excess([]) is None
    assert excess([CheckReply(0, 0, (), MARGIN)]) is None


def test_the_bound_is_that_of_the_game() -> None:
    """All tokens at the margin multiply what is won by 4.8, and it has to reach a million times their number."""
    factor, tokens = 4.8, 11
    won = sum(factor**power for power in range(1, tokens + 1))
    assert won >= 20 / FALSE_ALARM > won / factor
    found = excess([CheckReply(0, 20, tuple((index, MARGIN) for index in range(20)), MARGIN)])
    assert found is not None
    assert (found.answer, found.tokens, found.mean) == (0, tokens, 1.0)


def test_what_is_told_of_all_answers() -> None:
    near = Nearness().with_reply(CheckReply(0, 4, ((1, 0.1), (3, 0.3)), 0.5)).with_reply(CheckReply(1, 4, (), 0.75))
    assert (near.tokens, near.others, near.farthest, near.margin) == (8, 2, 0.3, 0.75)
    assert near.mean == pytest.approx(0.05)
    assert near.mean_max == pytest.approx(0.75 * MEAN_MARGINS_MAX)
