"""Native runs: real agents, no sandbox, no journal, no promise."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import turnwise
from tests.guests import constant
from turnwise import Agent, AskedQuestion, Grants, Model, UsageError, World
from turnwise.orchestrator.native import run_native

ECHO = """
import helper
from turnwise_guest import Turn

calls = []

def turn(t: Turn) -> None:
    calls.append(1)
    assert len(calls) == 1, "a module starts anew in every turn"
    t.state["greeting"] = helper.GREETING
    if t.turn == 3:
        t.finish(t.state)
    t.wake_in(1)
"""


def test_files_are_executed_under_their_own_names(tmp_path: Path) -> None:
    (tmp_path / "echo.py").write_text(ECHO)
    (tmp_path / "helper.py").write_text("GREETING = __file__\n")
    before = dict(sys.modules), list(sys.meta_path)
    world = turnwise.World(
        name="w", folder=tmp_path, agents={"echo": Agent("echo.py", start=True, grants=Grants(finish=True))}
    )
    seen: list[int] = []
    run = run_native(world, on_round=lambda record, name_of: seen.append(record.round))
    assert (run.end.reason, run.rounds, run.turns, run.failures) == ("finished", 3, 3, 0)
    assert str(tmp_path / "helper.py") in (run.end.result or "")
    assert seen == [1, 2, 3]
    assert "helper" not in set(sys.modules) - set(before[0])
    assert sys.meta_path == before[1]
    assert not list(tmp_path.glob("*.journal"))


def test_failures_are_the_agents_own(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("def turn(t):\n    raise KeyError('gone')\n")
    world = turnwise.World(name="w", folder=tmp_path, agents={"bad": Agent("bad.py", start=True)})
    messages: list[str] = []
    run = run_native(
        world, on_round=lambda record, name_of: messages.extend(t.failure.message for t in record.turns if t.failure)
    )
    assert run.failures == 1
    assert str(tmp_path / "bad.py") in messages[0]
    assert "KeyError: 'gone'" in messages[0]


def test_webassembly_cannot_run_natively() -> None:
    world = turnwise.World(name="w", agents={"a": Agent(constant({"state": ""}), start=True)})
    with pytest.raises(UsageError, match="cannot run natively"):
        run_native(world)


def test_effects_are_answered_where_they_are_asked(demo_model: Path) -> None:
    source = """
def turn(t):
    one = t.generate("m", "Once upon a time", tokens_max=2)
    two = t.generate_all("m", ["The cat", "The dog"], tokens_max=2)
    t.finish([one.tokens, *(answer.tokens for answer in two)])
"""
    world = turnwise.World(
        name="w",
        models={"m": Model(demo_model)},
        agents={"a": Agent(source, start=True, grants=Grants(generate=["m"], finish=True))},
    )
    assert run_native(world).end.result == "[2,2,2]"


ASKS = """
def turn(t):
    first = t.ask("How many?", schema={"type": "integer"})
    drawn = t.random.random()
    t.finish([first, t.ask(f"{first}, and which?", deadline=2, default="red"), drawn == t.random.random()])
"""


def asking() -> World:
    return turnwise.World(name="w", agents={"a": Agent(ASKS, start=True, grants=Grants(finish=True, ask=True))})


def test_people_are_asked() -> None:
    seen: list[str] = []

    def people(asked: AskedQuestion) -> object:
        seen.append(asked.text)
        return 3 if asked.id == 1 else "blue"

    run = run_native(asking(), people=people)
    assert run.end.result == '[3,"blue",false]'
    assert seen == ["How many?", "3, and which?"]


def test_a_question_that_nobody_answers_is_said() -> None:
    with pytest.raises(UsageError, match="nobody answers here"):
        run_native(asking())
    with pytest.raises(UsageError, match="whole number"):
        run_native(asking(), people=lambda _: "three")
