"""Questions to people: the bounds of what is asked, and the answer in a reply."""

from __future__ import annotations

import pytest

from turnwise.core.question import DEADLINE_ROUNDS_MAX, answered
from turnwise.core.withheld import Withheld


def test_a_deadline_is_at_most_a_round_that_there_can_be() -> None:
    assert DEADLINE_ROUNDS_MAX == 2_147_483_647


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ('{"ok":{"answer":"yes"}}', "yes"),
        ('{"ok":{"answer":[1,null]}}', [1, None]),
        ('{"ok":{}}', None),
        ('{"ok":7}', None),
        ('{"error":{"kind":"deadline"}}', None),
        ("[1]", None),
        ("7", None),
    ],
)
def test_an_answer_is_found_in_the_reply(reply: str, answer: object) -> None:
    assert answered(reply) == answer


def test_an_answer_that_was_withheld_is_none() -> None:
    assert answered(Withheld("ab" * 32)) is None  # type: ignore[arg-type]
