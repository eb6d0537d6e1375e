from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.core.test_machine import chatter, chatter_world, echo
from turnwise.core.compare import first_difference
from turnwise.core.records import MessageRecord, RoundRecord, TurnRecord
from turnwise.core.turn import Failure, FailureClass, TurnOutput
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
