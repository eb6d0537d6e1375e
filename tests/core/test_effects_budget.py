"""The bound on requests and replies of a turn: what is kept follows from sizes and order in the turn alone."""

from __future__ import annotations

import json
from hashlib import sha256
from itertools import permutations

import pytest

from turnwise.core.effects_budget import EffectsBudget, is_too_large, too_large, without_content
from turnwise.core.turn import EffectRequest


@pytest.mark.parametrize("order", [*permutations(range(4))])
def test_replies_are_refused_by_their_place_whatever_order_they_come_in(order: tuple[int, ...]) -> None:
    sizes = [30, 50, 40, 5]
    budget = EffectsBudget(100)
    assert budget.request(10)
    budget.next_call()
    refused = {index for came in order for index in budget.reply(came, sizes[came])}
    assert refused == {2, 3}, "the third does not fit, and nothing behind it is taken"
    assert budget.spent == 90


def test_a_request_that_does_not_fit_is_not_counted() -> None:
    budget = EffectsBudget(100, 95)
    assert not budget.request(6)
    assert budget.request(5)
    assert not budget.request(1)
    assert budget.spent == 100


def test_another_call_has_what_is_left() -> None:
    budget = EffectsBudget(100)
    assert budget.reply(0, 60) == []
    assert budget.reply(1, 50) == [1]
    budget.next_call()
    assert budget.reply(2, 40) == []
    assert budget.reply(3, 1) == [3]


def test_without_a_bound_nothing_is_refused() -> None:
    budget = EffectsBudget(None)
    assert budget.request(10**12)
    assert budget.reply(0, 10**12) == []
    assert budget.spent == 0


def test_the_reply_to_what_is_too_large_is_known_again() -> None:
    reply = too_large(1_048_576)
    assert "1,048,576 bytes" in json.loads(reply)["error"]["message"]
    assert is_too_large(reply)
    assert not is_too_large('{"error":{"kind":"refused","message":"no"}}')
    assert not is_too_large(reply.replace("error", "ok", 1))


def test_of_a_request_that_is_too_large_size_and_hash_are_left() -> None:
    left = without_content(EffectRequest("generate", "m", '{"prompt":"ü"}'))
    assert (left.kind, left.model, left.content) == ("generate", "m", None)
    body = '{"prompt":"ü"}'.encode()
    facts = {"effect": "generate", "model": "m", "bytes": len(body), "sha256": sha256(body).hexdigest()}
    assert json.loads(left.body) == facts
