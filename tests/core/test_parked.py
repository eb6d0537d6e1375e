"""Turns that wait: folded from their records and the answers that come."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from turnwise.core.calling import CALL, CallStage
from turnwise.core.canonical import canonical
from turnwise.core.head import park_line, text_digest
from turnwise.core.parked import Parked
from turnwise.core.question import ASK, answer_reply, overdue_reply, question_of
from turnwise.core.records import EffectRecord, ParkRecord, QuestionRecord
from turnwise.core.turn import EffectRequest
from turnwise.core.withheld import Withheld
from turnwise.errors import JournalError

CALLED = canonical({"effect": "call", "tool": "s.t", "args": {}})
SERVER_ASKS = canonical({"ask": {"questions": [{"key": "q", "text": "Sure?"}], "state": "opaque"}})
APPROVE = canonical({"effect": "ask", "question": "May it?", "call": {"request": json.loads(CALLED)}})
ASKED = canonical(
    {
        "effect": "ask",
        "question": "Sure?",
        "call": {"request": json.loads(CALLED), "asked": json.loads(SERVER_ASKS)["ask"]},
    }
)
DONE = canonical({"ok": {"text": "done"}})


def question(id_: int, index: int, deadline: int | None = None, request: str | None = None) -> QuestionRecord:
    members = {"effect": "ask", "question": f"{index}?"} | ({} if deadline is None else {"deadline": 1, "default": 0})
    return QuestionRecord(id_, index, ASK, request or canonical(members), deadline)


def effect(index: int, reply: str = DONE) -> EffectRecord:
    return EffectRecord(index, "generate", "m", '{"effect":"generate","model":"m"}', reply)


def park(*questions: QuestionRecord, **options: Any) -> ParkRecord:
    effects = options.pop("effects", ())
    members = {
        "place": 1,
        "turn": 2,
        "inbox": (4,),
        "backlog": 0,
        "effects": effects,
        "questions": questions,
        "calls": ((len(effects) + len(questions), False),),
        "spent_bytes": 10,
        "fuel": 5,
        "executions": 1,
    }
    return ParkRecord(**(members | options))


def test_a_turn_goes_on_in_the_round_after_its_last_answer() -> None:
    parked = Parked(park(question(1, 0), question(2, 1)), 7)
    assert (parked.began, parked.turn, parked.inbox, parked.backlog) == (7, 2, (4,), 0)
    assert (parked.spent_bytes, parked.fuel, parked.calls) == (10, 5, [(2, False)])
    assert parked.due_at is None
    parked.answer(2, answer_reply("b"), 9)
    assert parked.due_at is None
    parked.answer(1, answer_reply("a"), 11)
    assert parked.due_at == 11
    assert not parked.is_overdue
    assert [reply for _, reply in parked.effects_so_far()] == [answer_reply("a"), answer_reply("b")]


def test_a_turn_goes_on_without_answers_by_its_latest_deadline() -> None:
    parked = Parked(park(question(1, 0, deadline=9), question(2, 1, deadline=12)), 7)
    assert (parked.due_at, parked.is_overdue) == (12, True)
    parked.answer(2, answer_reply("b"), 8)
    assert (parked.due_at, parked.is_overdue) == (9, True)
    parked.answer(1, answer_reply("a"), 9)
    assert (parked.due_at, parked.is_overdue) == (9, False)
    late = Parked(park(question(1, 0, deadline=3)), 7)
    assert late.due_at == 8
    waits = Parked(park(question(1, 0, deadline=9), question(2, 1)), 7)
    assert (waits.due_at, waits.is_overdue) == (None, False)


@pytest.mark.parametrize(
    ("number", "round_", "is_open"),
    [(1, 100, True), (2, 9, True), (2, 10, False), (3, 8, False), (4, 8, False)],
)
def test_a_question_is_open_until_it_is_answered_or_overdue(number: int, round_: int, is_open: bool) -> None:
    parked = Parked(park(question(1, 0), question(2, 1, deadline=9), question(3, 2)), 7)
    parked.answer(3, answer_reply("c"), 8)
    assert parked.is_open(number, round_) is is_open


def test_a_turn_that_goes_on_has_its_effects_in_order_with_defaults() -> None:
    overdue = question(1, 1, deadline=9)
    parked = Parked(park(overdue, effects=(effect(0),)), 7)
    so_far = parked.effects_so_far()
    assert so_far == [
        (EffectRequest("generate", "m", '{"effect":"generate","model":"m"}'), DONE),
        (EffectRequest(ASK, None, overdue.request), overdue_reply(question_of(overdue.request))),
    ]


def test_what_a_turn_does_in_later_rounds_is_added() -> None:
    parked = Parked(park(question(1, 0)), 7)
    parked.answer(1, answer_reply("a"), 9)
    answered = EffectRecord(0, ASK, None, question(1, 0).request, answer_reply("a"))
    second = park(question(5, 1), effects=(answered,), calls=((1, True),), spent_bytes=30, fuel=7)
    parked.add(second, 9)
    assert (parked.began, parked.fuel, parked.spent_bytes) == (7, 12, 30)
    assert parked.calls == [(1, False), (1, True)]
    assert (parked.questions.keys(), parked.answers) == ({5}, {})
    assert parked.due_at is None
    assert [request.body for request, _ in [*parked.effects_so_far()][:1]] == [question(1, 0).request]


@pytest.mark.parametrize(
    "change",
    [
        {"turn": 3},
        {"inbox": (4, 5)},
        {"backlog": 1},
        {"calls": ((2, False),)},
        {"calls": ()},
        {"questions": ()},
        {"effects": ()},
    ],
    ids=str,
)
def test_what_is_no_part_of_a_turn_is_damage(change: dict[str, Any]) -> None:
    parked = Parked(park(question(1, 0)), 7)
    answered = EffectRecord(0, ASK, None, question(1, 0).request, answer_reply("a"))
    second = park(question(5, 1), effects=(answered,), calls=((1, True),))
    with pytest.raises(JournalError, match="of place 1 in round 9 is no part of it"):
        parked.add(replace(second, **change), 9)


@pytest.mark.parametrize("change", [{"calls": ()}, {"calls": ((2, False),)}, {"questions": ()}], ids=str)
def test_what_is_no_beginning_of_waiting_is_damage(change: dict[str, Any]) -> None:
    with pytest.raises(JournalError, match="no part of it"):
        Parked(replace(park(question(1, 0)), **change), 7)


def test_without_effects_or_questions_nothing_waits() -> None:
    with pytest.raises(JournalError, match="no part of it"):
        Parked(park(calls=((0, False),)), 7)
    with pytest.raises(JournalError, match="no part of it"):
        Parked(park(calls=((1, False),), effects=(effect(0),)), 7)


def of_call(request: str, kind: str = ASK) -> Parked:
    return Parked(park(replace(question(1, 0, request=request), kind=kind)), 7)


def test_a_call_goes_on_as_people_or_its_outcome_say() -> None:
    answers = canonical({"answers": {"q": "yes"}, "state": "opaque"})
    for request, kind, reply, stage in (
        (APPROVE, ASK, answer_reply(True), CallStage(CALLED)),
        (ASKED, ASK, answer_reply("yes"), CallStage(CALLED, answers)),
        (CALLED, CALL, SERVER_ASKS, CallStage(CALLED, outcome=SERVER_ASKS)),
    ):
        parked = of_call(request, kind)
        assert parked.stages() == {}
        parked.answer(1, reply, 8)
        assert parked.stages() == {0: stage}
        assert parked.effects_so_far() == [(EffectRequest(CALL, None, CALLED), None)]


def test_a_call_that_nobody_approves_has_its_reply() -> None:
    parked = of_call(APPROVE)
    parked.answer(1, answer_reply(False), 8)
    ((request, reply),) = parked.effects_so_far()
    assert request == EffectRequest(CALL, None, CALLED)
    assert json.loads(reply or "")["error"]["kind"] == "denied"


def test_no_call_goes_on_after_an_outcome_or_an_answer_to_a_question_of_the_agent() -> None:
    for request, kind, reply in ((CALLED, CALL, DONE), (question(1, 0).request, ASK, SERVER_ASKS)):
        parked = of_call(request, kind)
        parked.answer(1, reply, 8)
        assert parked.stages() == {}
        assert parked.effects_so_far() == [(EffectRequest(kind, None, request), reply)]


def test_of_texts_that_were_taken_out_nothing_follows() -> None:
    withheld: Any = Withheld("ab" * 32)
    parked = of_call(APPROVE)
    parked.answer(1, withheld, 8)
    assert parked.stages() == {}
    parked = of_call(withheld)
    parked.answer(1, answer_reply(True), 8)
    assert parked.stages() == {}


def test_what_a_call_was_made_again_with_is_kept() -> None:
    parked = of_call(ASKED)
    parked.answer(1, answer_reply("yes"), 8)
    left = replace(park(), questions=(QuestionRecord(2, 0, CALL, CALLED),), calls=())
    assert parked.call_answers == {}
    assert parked.times_asked(0) == 1
    with_one = replace(left, effects=(), calls=())
    parked.add(with_one, 8)
    assert parked.call_answers == {0: canonical({"answers": {"q": "yes"}, "state": "opaque"})}
    assert (parked.times_asked(0), parked.times_asked(1)) == (1, 0)


def test_questions_of_servers_are_counted_by_call() -> None:
    first = replace(question(1, 0, request=ASKED))
    own = question(2, 1)
    approve = question(3, 2, request=APPROVE)
    parked = Parked(park(first, own, approve), 7)
    assert [parked.times_asked(index) for index in range(4)] == [1, 0, 0, 0]


def test_the_digest_is_over_all_that_decides() -> None:
    first = park(question(1, 0), question(2, 1))
    parked = Parked(first, 7)
    lines = ["7", park_line(first)]
    assert parked.digest() == sha256("\n".join(lines).encode()).hexdigest()
    parked.answer(2, answer_reply("b"), 8)
    parked.answer(1, answer_reply("a"), 8)
    lines += [f"{number} {text_digest(answer_reply(text))}" for number, text in ((1, "a"), (2, "b"))]
    assert parked.digest() == sha256("\n".join(lines).encode()).hexdigest()


def test_a_question_that_is_none_is_damage_when_its_default_is_taken() -> None:
    parked = of_call('{"effect":"ask"}')
    with pytest.raises(JournalError, match="question 1 is none: 'question' must be a text"):
        parked.effects_so_far()
