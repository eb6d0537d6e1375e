"""Questions to people, before they are asked: what is refused, what is counted, until when they wait."""

from __future__ import annotations

import json

import pytest

from tests.core.worlds import kind
from turnwise.core.asking import ask_refusal, deadline_of, reserved
from turnwise.core.plan import KindGrants
from turnwise.core.records import AgentRecord
from turnwise.core.state import AgentState
from turnwise.core.turn import EffectRequest


def request(body: str = '{"effect":"ask","question":"well?"}', kind_: str = "ask") -> EffectRequest:
    return EffectRequest(kind_, None, body)


def refusal(body: str, *layers: KindGrants) -> str | None:
    record = AgentRecord(3, "ann", "writer", "{}", "", 0, None, ())
    found = ask_refusal(AgentState(record, kind("writer"), layers or (KindGrants(ask=True),)), request(body))
    return None if found is None else str(json.loads(found)["error"]["kind"])


def test_a_question_is_asked_by_whom_it_is_granted() -> None:
    body = request().body
    assert refusal(body) is None
    assert refusal(body, KindGrants()) == "denied"
    assert refusal(body, KindGrants(ask=True), KindGrants()) == "denied"


@pytest.mark.parametrize("body", ["[]", '{"effect":"ask"}', '{"effect":"ask","question":"q","call":{}}'])
def test_what_is_no_question_is_refused(body: str) -> None:
    assert refusal(body) == "refused"


def test_an_answer_is_counted_in_advance() -> None:
    assert reserved(request()) == 65_536
    assert reserved(request(kind_="generate")) == 0


def test_a_deadline_is_counted_from_the_round_of_the_question() -> None:
    assert deadline_of(request(), 7) is None
    assert deadline_of(request('{"effect":"ask","question":"q","deadline":3}'), 7) == 10
