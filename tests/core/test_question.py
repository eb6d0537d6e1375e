"""Questions to people: the bounds of what is asked, and the answer in a reply."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from turnwise.core.question import (
    ANSWER_BYTES_MAX,
    DEADLINE_ROUNDS_MAX,
    QUESTION_CHARS_MAX,
    AskedQuestion,
    Question,
    answer_reply,
    answered,
    is_overdue_reply,
    overdue_reply,
    question_of,
    question_text,
)
from turnwise.core.withheld import Withheld

WITHHELD: Any = Withheld("ab" * 32)
TEXT = {"type": "string"}


def asked(text: object = "well?", **members: object) -> str:
    return json.dumps({"effect": "ask", "question": text, **members})


def test_the_bounds_are_what_recorded_runs_were_held_to() -> None:
    assert (ANSWER_BYTES_MAX, QUESTION_CHARS_MAX) == (65_536, 16_384)


def test_a_question_is_read_with_what_it_has() -> None:
    assert question_of(asked()) == Question("well?")
    whole = question_of(asked(schema=TEXT, deadline=1, default={"b": 1, "a": 2}, call={}))
    assert whole == Question("well?", TEXT, 1, '{"a":2,"b":1}')
    assert question_of(asked(deadline=DEADLINE_ROUNDS_MAX, default=None)).default == "null"
    assert question_of(asked("q" * QUESTION_CHARS_MAX)).text == "q" * QUESTION_CHARS_MAX
    assert question_of(WITHHELD) == Question(str(WITHHELD))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("[]", "a question is an object"),
        (asked(zeal=1, **{"m" * 101: 1}), f"a question has no member '{'m' * 100}'$"),
        ('{"effect":"ask"}', "'question' must be a text that is not empty"),
        (asked(7), "'question' must be a text that is not empty"),
        (asked(" "), "'question' must be a text that is not empty"),
        (asked("q" * (QUESTION_CHARS_MAX + 1)), "'question' has 16,385 characters, and at most 16,384 are possible"),
        (asked(schema={"pattern": "a"}), "'schema' cannot be used: the keyword 'pattern'"),
        (asked(deadline=0), "'deadline' must be a whole number of rounds"),
        (asked(deadline=True), "'deadline' must be a whole number of rounds"),
        (asked(deadline=1.5), "'deadline' must be a whole number of rounds"),
        (asked(deadline=DEADLINE_ROUNDS_MAX + 1), "'deadline' must be a whole number of rounds"),
        (asked(default=1), "give 'deadline' too"),
    ],
)
def test_what_is_no_question_is_said(body: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        question_of(body)


@pytest.mark.parametrize("more", [0, 1])
def test_a_default_is_bounded_as_the_reply_that_it_makes(more: int) -> None:
    size = ANSWER_BYTES_MAX - len(overdue_reply(Question("", None, 1, '""'))) + more
    body = asked(deadline=1, default="d" * size)
    if more:
        with pytest.raises(ValueError, match="'default' takes more than 65,536 bytes as JSON"):
            question_of(body)
    else:
        assert len(overdue_reply(question_of(body))) == ANSWER_BYTES_MAX


def test_an_answer_is_a_json_value_of_a_size_that_follows_the_schema() -> None:
    free, text = Question("q"), Question("q", TEXT)
    assert free.refusal(None) is None
    assert text.refusal("t") is None
    assert text.refusal(7) == "it must be text, not 7"
    assert (free.refusal(math.nan) or "").startswith("it is no JSON value: ")
    size = ANSWER_BYTES_MAX - len(answer_reply(""))
    assert free.refusal("é" * (size // 2)) is None
    assert free.refusal("a" * size) is None
    said = "it takes 65,537 bytes as JSON, and at most 65,536 are possible"
    assert free.refusal("a" * (size + 1)) == said


def test_what_can_be_answered_now_has_the_words_and_the_schema_of_its_question() -> None:
    entry = AskedQuestion(3, "ann", Question("well?", TEXT), None, "ab" * 32)
    assert (entry.text, entry.schema) == ("well?", TEXT)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (asked(), "well?"),
        ('{"effect":"call","tool":"s.t"}', "the outcome of calling s.t"),
        ('{"effect":"call","tool":7}', '{"effect":"call","tool":7}'),
        ('{"effect":"ask","tool":"s.t"}', '{"effect":"ask","tool":"s.t"}'),
        ("[1]", "[1]"),
    ],
)
def test_the_words_of_what_is_waited_for(request_: str, words: str) -> None:
    assert question_text(request_) == words


def test_a_reply_says_whether_its_question_was_overdue() -> None:
    for question in (Question("q", None, 1, "7"), Question("q", None, 1)):
        assert is_overdue_reply(overdue_reply(question))
    assert overdue_reply(Question("q", None, 1, "7")) == '{"ok":{"answer":7,"default":true}}'
    for reply in (answer_reply(7), '{"ok":{"answer":7,"default":1}}', '{"error":{"kind":"denied"}}', '{"ok":[]}', "[]"):
        assert is_overdue_reply(reply) is False
    assert is_overdue_reply(WITHHELD) is False


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
