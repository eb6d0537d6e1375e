"""What a machine says of turns that wait for answers, between its rounds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.core.test_open_turn import ASK, QUICK, SERVER_ASKS, begun, completed, machine, needs
from turnwise.core.canonical import canonical
from turnwise.core.events import Advance, Answer, CallLeft, Commit, End, Execute, Input, OutsideChange, TurnTaken
from turnwise.core.machine import Machine
from turnwise.core.question import answer_reply
from turnwise.core.records import ChangeRecord, RoundRecord
from turnwise.errors import InvariantError


def ask(**members: Any) -> dict[str, Any]:
    return ASK | members


def idle(of: Machine) -> RoundRecord:
    """Play a round in which one agent moves for nothing; return what it left."""
    (action,) = of.step(Advance())
    assert isinstance(action, Execute)
    (commit,) = completed(of, place=action.place, wake_in=1)
    assert isinstance(commit, Commit)
    return commit.record


def waiting(*questions: dict[str, Any], clock: bool = False, **options: Any) -> Machine:
    """A world after its first round, in which one agent has asked; another moves in every round, if asked."""
    of = begun(agents=2 if clock else 1, **options)
    if clock:
        completed(of, place=1, wake_in=1)
    (commit,) = needs(of, *questions)
    assert isinstance(commit, Commit)
    return of


def test_a_world_waits_where_nothing_but_an_answer_can_go_on() -> None:
    assert machine().waits is False
    assert waiting(ASK).waits is True
    assert waiting(ASK, clock=True).waits is False
    assert waiting(ask(deadline=2, default=0)).waits is False
    of = waiting(ASK)
    of.step(Answer(1, answer_reply("yes")))
    assert of.waits is False


def test_a_world_at_its_last_round_ends_and_waits_for_nobody() -> None:
    of = waiting(ASK, rounds_max=1)
    assert of.waits is False
    (end,) = of.step(Advance())
    assert isinstance(end, End)
    assert end.record.reason == "rounds_max"
    assert of.waits is False
    assert waiting(ASK, rounds_max=2).waits is True


def test_a_default_is_taken_next_where_nothing_comes_before_it() -> None:
    bound = ask(deadline=2, default=0)
    assert machine().is_overdue_next is False
    assert waiting(ASK).is_overdue_next is False
    assert waiting(bound).is_overdue_next is True
    assert waiting(bound, ask(deadline=1, default=0)).is_overdue_next is True
    assert waiting(bound, ASK).is_overdue_next is False
    answered = waiting(bound)
    answered.step(Answer(1, answer_reply("yes")))
    assert answered.is_overdue_next is False
    written = waiting(bound)
    written.step(Input("a0", "hello"))
    assert written.is_overdue_next is False
    of = waiting(bound, clock=True)
    assert of.is_overdue_next is False  # another agent moves before
    idle(of)
    assert of.is_overdue_next is True


def test_of_several_that_wait_one_may_be_overdue() -> None:
    of = begun(agents=2)
    needs(of, ASK)
    needs(of, ask(deadline=3, default=0), place=1)
    assert of.is_overdue_next is True
    of = begun(agents=2)
    needs(of, ask(deadline=9, default=0))
    needs(of, ASK, place=1)
    assert of.is_overdue_next is True


def test_a_question_is_shown_until_it_is_overdue_or_an_answer_waits() -> None:
    of = waiting(ask(deadline=3, default=0), ASK, clock=True)
    shown = []
    for _ in range(5):
        shown.append([entry.id for entry in of.questions()])
        idle(of)
    assert shown == [[1, 2], [1, 2], [1, 2], [2], [2]]
    round_ = of.world.round
    of.step(Answer(2, answer_reply("later"), after=round_ + 1))
    assert [entry.id for entry in of.questions()] == [2]
    of.step(Answer(2, answer_reply("now"), after=round_))
    assert of.questions() == []


def test_a_question_of_a_turn_that_goes_on_is_not_shown() -> None:
    of = waiting(ASK, clock=True)
    of.step(Answer(1, answer_reply("yes")))
    of.step(Advance())
    assert of.questions() == []


def test_an_answer_is_coming_to_the_question_that_it_is_meant_for() -> None:
    of = waiting(ASK, ask(question="and now?"))
    first, second = of.questions()
    assert of.is_answer_coming(1) is False
    assert of.is_answer_coming(99) is False
    of.step(Answer(2, answer_reply("yes"), after=5, asked=first.asked))
    assert (of.is_answer_coming(1), of.is_answer_coming(2)) == (False, False)
    of.step(Answer(2, answer_reply("yes"), after=5, asked=second.asked))
    assert (of.is_answer_coming(1), of.is_answer_coming(2)) == (False, True)
    of.step(Answer(1, answer_reply("yes"), after=5))
    assert of.is_answer_coming(1) is True


def test_questions_of_a_round_are_numbered_through() -> None:
    of = begun(agents=3)
    needs(of, ASK, place=2)
    needs(of, ASK, ASK, place=0)
    (commit,) = needs(of, ASK, place=1)
    assert isinstance(commit, Commit)
    assert [[question.id for question in park.questions] for park in commit.record.parks] == [[1, 2], [3], [4]]
    assert [(entry.id, entry.agent) for entry in of.questions()] == [(1, "a0"), (2, "a0"), (3, "a1"), (4, "a2")]


def test_questions_to_people_are_no_calls() -> None:
    assert waiting(ASK).calls() == []


@pytest.mark.parametrize("asks", [0, 1])
def test_a_call_whose_server_asks_holds_nobody_up(asks: int) -> None:
    """It is over as soon as the round begins, whoever moves before or behind it."""
    of = begun(agents=2)
    completed(of, place=1 - asks, wake_in=1)
    needs(of, QUICK, place=asks)
    (commit,) = of.step(CallLeft(asks, 0))
    assert isinstance(commit, Commit)
    of.step(Answer(1, SERVER_ASKS))
    (action,) = of.step(Advance())
    assert isinstance(action, Execute)
    assert action.place == 1 - asks
    assert of.executing == 1
    (commit,) = completed(of, place=1 - asks)
    assert isinstance(commit, Commit)
    assert [turn.place for turn in commit.record.turns] == [1 - asks]
    assert [(park.place, len(park.questions)) for park in commit.record.parks] == [(asks, 1)]


def test_a_round_of_nothing_but_such_a_call_is_over_at_once() -> None:
    of = begun()
    needs(of, QUICK)
    of.step(CallLeft(0, 0))
    of.step(Answer(1, SERVER_ASKS))
    (commit,) = of.step(Advance())
    assert isinstance(commit, Commit)
    assert [park.place for park in commit.record.parks] == [0]
    of.step(Answer(2, answer_reply("sure")))
    of.step(Advance())
    assert of.executing == 0
    assert of.waiting() == [("a0", 1)]


@pytest.mark.parametrize("answer", ["yes", None])
def test_a_turn_that_waits_is_taken_as_it_is_recorded(answer: str | None) -> None:
    played, taken = begun(), begun()
    needs(played, ASK, QUICK)
    (commit,) = played.step(CallLeft(0, 1))
    assert isinstance(commit, Commit)
    (again,) = taken.step(TurnTaken(commit.record.parks[0]))
    assert again == commit
    for of in (played, taken):
        of.step(Answer(1, answer_reply(answer)))
        of.step(Answer(2, canonical({"ok": {"text": "done"}})))
        (action,) = of.step(Advance())
        assert isinstance(action, Execute)
        completed(of)
    assert played.head == taken.head


def test_a_turn_that_was_executed_or_waits_is_not_taken() -> None:
    of = begun(agents=2)
    (commit,) = needs(begun(), ASK)
    assert isinstance(commit, Commit)
    (park,) = commit.record.parks
    of.step(TurnTaken(park))
    with pytest.raises(InvariantError, match="cannot be taken as it is recorded"):
        of.step(TurnTaken(park))
    needs(of, QUICK, place=1)
    with pytest.raises(InvariantError, match="cannot be taken as it is recorded"):
        of.step(TurnTaken(replace(park, place=1)))


def test_a_question_that_was_overdue_is_asked_no_longer() -> None:
    of = waiting(ask(deadline=2, default=0))
    assert of.world.asked == {1: 0}
    (action,) = of.step(Advance())
    assert isinstance(action, Execute)
    assert of.world.asked == {1: 0}
    needs(of, ASK)
    assert of.world.asked == {2: 0}
    assert of.calls() == []
    assert [of.is_answer_coming(number) for number in (1, 2)] == [False, False]


def test_a_question_is_open_for_those_who_mean_it() -> None:
    of = waiting(ASK)
    (asked,) = of.questions()
    world = of.world
    assert world.is_asked(1, 2) is True
    assert world.is_asked(2, 2) is False
    assert world.is_asked(1, 2, asked.asked) is True
    assert world.is_asked(1, 2, "0" * 64) is False


def moved(of: Machine) -> tuple[int, int]:
    """The round that begins, and the place of the agent that moves in it alone."""
    (action,) = of.step(Advance())
    assert isinstance(action, Execute)
    return of.round, action.place


@pytest.mark.parametrize("schedule", ["rounds", "sequential"])
def test_an_alarm_that_was_set_before_a_turn_waits_rings_after_it(schedule: Any) -> None:
    of = begun(schedule=schedule)
    completed(of, wake_in=9)
    of.step(Input("a0", "hello"))
    of.step(Advance())
    needs(of, ASK)
    assert of.waits
    of.step(Answer(1, answer_reply("yes")))
    assert moved(of) == (3, 0)
    completed(of)
    assert of.world.agents[0].wake_at == 10
    assert moved(of) == (10, 0)


def test_a_turn_of_which_something_was_changed_is_begun_again_at_once() -> None:
    of = waiting(ASK)
    of.step(OutsideChange(ChangeRecord("state", 0, "given")))
    (action,) = of.step(Advance())
    assert isinstance(action, Execute)
    assert (action.input.round, action.input.turn, action.input.state) == (2, 1, "given")
    assert of.world.agents[0].wake_at == 2
    completed(of)
    assert of.world.agents[0].wake_at is None
    assert of.world.asked == {}


def test_a_turn_that_is_begun_again_is_due_by_its_oldest_mail() -> None:
    """In a sequential world, that is before those who have an alarm in the round that follows."""
    of = machine(agents=2, schedule="sequential")
    assert moved(of) == (1, 0)
    completed(of, wake_in=3)
    assert moved(of) == (2, 1)
    completed(of, place=1)
    of.step(Input("a1", "hello"))
    of.step(Input("a1", "again"))  # which waits with the turn
    assert moved(of) == (3, 1)
    needs(of, ASK, place=1)
    of.step(OutsideChange(ChangeRecord("state", 1, "given")))
    assert moved(of) == (4, 1)  # for its mail of round 3, and a0 has its alarm in round 4
    completed(of, place=1)
    assert moved(of) == (5, 0)


@pytest.mark.parametrize("waits", [False, True])
def test_a_message_that_a_turn_was_not_given_is_dropped_and_nobody_moves(waits: bool) -> None:
    of = begun()
    if waits:
        needs(of, ASK)
    else:
        completed(of)
    of.step(Input("a0", "hello"))
    of.step(OutsideChange(ChangeRecord("drop", 0)))
    (commit,) = of.step(Advance())
    assert isinstance(commit, Commit)
    assert (commit.record.turns, commit.record.parks) == ((), ())
    assert of.world.agents[0].inbox == []
    assert of.world.asked == ({1: 0} if waits else {})
    assert not of.due


def test_an_alarm_that_rings_while_a_turn_waits_rings_when_it_is_over() -> None:
    of = begun(agents=2)
    completed(of, place=1, wake_in=1)
    completed(of, wake_in=2)  # for round 3
    of.step(Input("a0", "hello"))
    of.step(Advance())
    completed(of, place=1, wake_in=1)
    needs(of, ASK)  # in round 2
    for _ in range(3):
        idle(of)
    assert of.world.agents[0].wake_at == 3
    of.step(Answer(1, answer_reply("yes")))
    of.step(Advance())
    completed(of)
    completed(of, place=1)
    assert of.world.agents[0].wake_at == 7
    assert moved(of) == (7, 0)


def test_the_alarm_for_which_a_turn_was_begun_does_not_ring_again() -> None:
    of = waiting(ASK)
    assert of.world.agents[0].wake_at is None
    of.step(Answer(1, answer_reply("yes")))
    assert moved(of) == (2, 0)
    completed(of)
    assert not of.due
