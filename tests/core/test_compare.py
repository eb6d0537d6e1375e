from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from tests.core.test_machine import chatter, chatter_world, echo
from turnwise.core.compare import first_agents_difference, first_difference
from turnwise.core.records import AgentRecord, EffectRecord, MessageRecord, RoundRecord, TurnRecord
from turnwise.core.turn import Failure, FailureClass, Log, Record, Send, Spawn, TurnOutput
from turnwise.sim import simulate

TURN = TurnRecord(0, 1, (), TurnOutput("s"), None, (), "", 100, 1)
ROUND = RoundRecord(1, (TURN,), (), (MessageRecord(0, 1, 0, "b", "body", (1,)),), (), (), b"h", b"e")


def name_of(place: int) -> str:
    return "ab"[place]


def test_a_round_equals_itself_whatever_its_fuel() -> None:
    world = chatter_world(3, "rounds")
    for record in simulate(world, {"chatter": chatter}, answer=echo).rounds:
        assert first_difference(record, record, str) is None
    dearer = replace(ROUND, turns=(replace(TURN, fuel=999, executions=4),))
    assert first_difference(ROUND, dearer, name_of) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"turns": (replace(TURN, output=TurnOutput("t")),)}, "round 1, agent a: state"),
        ({"turns": (replace(TURN, output=TurnOutput("s", finish="1")),)}, "round 1, agent a: finish"),
        ({"turns": (replace(TURN, stdout="x"),)}, "round 1, agent a: stdout"),
        ({"turns": (replace(TURN, inbox=(5,)),)}, "round 1, agent a: inbox"),
        (
            {"turns": (replace(TURN, output=None, failure=Failure(FailureClass.FUEL, "")),)},
            "round 1, agent a: failure",
        ),
        ({"turns": ()}, "round 1: who moves"),
        ({"stopped": (1,)}, "round 1: stopped"),
        ({"messages": (replace(ROUND.messages[0], body="other"),)}, "round 1, agent a: message 0: body"),
        ({"messages": ()}, "round 1, agent a: message 0: to"),
        ({"round": 2}, "round 1: the number of the round"),
    ],
)
def test_the_first_difference_is_named(change: dict[str, Any], said: str) -> None:
    changed = replace(ROUND, **change)
    difference = first_difference(ROUND, changed, name_of)
    assert difference is not None
    assert str(difference) == said
    assert difference.expected != difference.actual


def test_the_wording_of_a_failure_is_no_difference() -> None:
    def failed(message: str) -> RoundRecord:
        return replace(ROUND, turns=(replace(TURN, output=None, failure=Failure(FailureClass.TRAP, message)),))

    assert first_difference(failed("one"), failed("two"), name_of) is None


def test_whose_fact_it_is_is_shown_where_that_is_all_that_differs() -> None:
    agents = [AgentRecord(0, name, "k", "{}", "", 0, None, ("k",)) for name in ("a", "b")]
    difference = first_agents_difference(agents[:1], agents[1:])
    assert difference is not None
    facts = "spawned = (0, 'k', 0, None, ('k',))"
    assert (difference.expected, difference.actual) == (f"a: {facts}", f"b: {facts}")


@pytest.mark.parametrize("other", [b"t", None])
def test_the_digest_of_the_state_counts(other: bytes | None) -> None:
    found = first_difference(replace(ROUND, state=b"s"), replace(ROUND, state=other), name_of)
    assert found is not None
    assert (found.agent, found.what) == (None, "digest of the state")
    assert found.expected != found.actual
    assert first_difference(replace(ROUND, state=b"s"), replace(ROUND, state=b"s"), name_of) is None


# -- every field counts ------------------------------------------------------------------------------------------

RICH = TurnRecord(
    1,
    3,
    (0, 4),
    TurnOutput(
        "state",
        send=(Send("a", "x"),),
        log=(Log("info", "line"),),
        record=(Record("price", 2.5),),
        wake_in=2,
        spawn=(Spawn("k", "child"),),
        stop=("x",),
        finish="{}",
    ),
    None,
    (EffectRecord(0, "generate", "m", "{}", "[]"),),
    "printed",
    7,
    2,
)
LOST = TurnRecord(0, 1, (), None, Failure(FailureClass.FUEL, "why"), (), "lost", 5, 1)
CHILD = AgentRecord(2, "child", "k", "{}", "", 3, 1, ("k",))
MAIL = MessageRecord(4, 2, 0, "b", "body", (1,))
FULL = RoundRecord(3, (LOST, RICH), (MAIL,), (replace(MAIL, seq=5),), (CHILD,), (1,), b"h", b"e")

OUTPUT: dict[str, Any] = {
    "state": "other",
    "log": (Log("warning", "line"),),
    "record": (Record("price", 3.5),),
    "wake_in": 3,
    "spawn": (Spawn("k", "other"),),
    "stop": ("y",),
    "finish": "[]",
}
TURNS: dict[str, Any] = {
    "place": 0,
    "turn": 4,
    "inbox": (0,),
    "failure": Failure(FailureClass.TRAP, ""),
    "effects": (),
    "stdout": "other",
}
EFFECT: dict[str, Any] = {"index": 1, "kind": "infer", "model": "n", "request": "1", "reply": "2"}
AGENT: dict[str, Any] = {
    "place": 3,
    "name": "other",
    "kind": "l",
    "args": "[]",
    "state": "x",
    "born": 4,
    "parent": 0,
    "grants": (),
}
CARRIED_OUT_OF_EFFECT: dict[str, Any] = {"tokens": (3, 4)}
MESSAGE: dict[str, Any] = {
    "seq": 9,
    "round": 1,
    "sender": 1,
    "to": "a",
    "body": "other",
    "recipients": (),
    "attach": "x",
}
CARRIED_OUT: dict[str, Any] = {"fuel": 8, "executions": 3}
IN_THE_HEAD_ELSEWHERE = {"send", "output", "content"}
"""`send` shows in the round's messages; `output` has its own fields; a request names the hash of its `content`."""


def changed(part: str, field: str, value: Any) -> RoundRecord:
    if part == "output":
        return replace(FULL, turns=(LOST, replace(RICH, output=replace(RICH.output, **{field: value}))))  # type: ignore[type-var]
    if part == "turn":
        return replace(FULL, turns=(LOST, replace(RICH, **{field: value})))
    if part == "effect":
        return replace(FULL, turns=(LOST, replace(RICH, effects=(replace(RICH.effects[0], **{field: value}),))))
    if part == "agent":
        return replace(FULL, spawned=(replace(CHILD, **{field: value}),))
    if part == "input":
        return replace(FULL, inputs=(replace(MAIL, **{field: value}),))
    return replace(FULL, messages=(replace(FULL.messages[0], **{field: value}),))


CASES = [
    (part, field, value)
    for part, fields_ in {
        "output": OUTPUT,
        "turn": TURNS,
        "effect": EFFECT,
        "agent": AGENT,
        "input": MESSAGE,
        "message": MESSAGE,
    }.items()
    for field, value in fields_.items()
]


@pytest.mark.parametrize(("part", "field", "value"), CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_every_field_counts(part: str, field: str, value: Any) -> None:
    other = changed(part, field, value)
    assert first_difference(FULL, other, str) is not None
    assert first_difference(other, FULL, str) is not None


@pytest.mark.parametrize(
    ("kind", "known"),
    [
        (TurnOutput, OUTPUT),
        (TurnRecord, TURNS | CARRIED_OUT),
        (EffectRecord, EFFECT | CARRIED_OUT_OF_EFFECT),
        (AgentRecord, AGENT),
        (MessageRecord, MESSAGE),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_no_field_is_forgotten_here(kind: type, known: dict[str, Any]) -> None:
    assert {item.name for item in fields(kind)} - IN_THE_HEAD_ELSEWHERE == known.keys()


@pytest.mark.parametrize("field", CARRIED_OUT)
def test_how_it_was_carried_out_counts_only_where_that_is_asked(field: str) -> None:
    other = changed("turn", field, CARRIED_OUT[field])
    assert first_difference(FULL, other, str) is None
    difference = first_difference(FULL, other, str, execution=True)
    assert difference is not None
    assert (difference.agent, difference.what, difference.actual) == ("1", field, CARRIED_OUT[field])
    assert first_difference(FULL, FULL, str, execution=True) is None


def test_tokens_count_only_where_that_is_asked() -> None:
    other = changed("effect", "tokens", CARRIED_OUT_OF_EFFECT["tokens"])
    assert first_difference(FULL, other, str) is None
    difference = first_difference(FULL, other, str, execution=True)
    assert difference is not None
    assert (difference.agent, difference.what, difference.actual) == ("1", "effect 0: tokens", (3, 4))


@pytest.mark.parametrize(
    ("turn", "what"),
    [
        (replace(LOST, failure=Failure(FailureClass.FUEL, "else")), "message of the failure"),
        (replace(LOST, stdout="else"), "stdout"),
    ],
)
def test_what_is_said_of_a_failure_counts_only_where_that_is_asked(turn: TurnRecord, what: str) -> None:
    other = replace(FULL, turns=(turn, RICH))
    assert first_difference(FULL, other, str) is None
    difference = first_difference(FULL, other, str, execution=True)
    assert difference is not None
    assert difference.what == what


def test_the_outcome_comes_before_how_it_was_carried_out() -> None:
    other = replace(FULL, turns=(replace(LOST, fuel=6), replace(RICH, stdout="other")))
    difference = first_difference(FULL, other, str, execution=True)
    assert difference is not None
    assert str(difference) == "round 3, agent 1: stdout"


def test_a_fact_that_one_record_lacks_is_shown_beside_what_is_there_instead() -> None:
    shorter = replace(FULL, messages=())
    difference = first_difference(FULL, shorter, str)
    assert difference is not None
    assert (difference.round, difference.agent, difference.what) == (3, "0", "message 5: to")
    assert difference.expected == "message 5: to = (2, 'b', (1,))"
    assert difference.actual == "the number of facts = None"
    other_way = first_difference(shorter, FULL, str)
    assert other_way is not None
    assert (other_way.agent, other_way.what) == ("0", "message 5: to")


def test_the_first_agents_are_compared() -> None:
    assert first_agents_difference([CHILD], [CHILD]) is None
    difference = first_agents_difference([CHILD], [replace(CHILD, args="[]")])
    assert difference is not None
    assert (difference.round, difference.agent, difference.what) == (0, "child", "args")


def test_what_comes_with_a_message_is_compared_where_there_is_something() -> None:
    first, other = (replace(FULL, messages=(replace(MAIL, seq=5, attach=handle),)) for handle in ("h-1", "h-2"))
    difference = first_difference(first, other, str)
    assert difference is not None
    assert (difference.agent, difference.what) == ("0", "message 5: attachment")
    assert (difference.expected, difference.actual) == ("h-1", "h-2")
    without = first_difference(first, FULL, str)
    assert without is not None
    assert without.expected == "message 5: attachment = 'h-1'"
    assert "attachment" not in str(without.actual)
