from __future__ import annotations

import pytest

from tests.world.conftest import MINIMAL, Write, only_problem, problems_of
from turnwise.visible_text import visible
from turnwise.world import Agent, World

WORLD = '[world]\nname = "test"\n'


def kind(name: str, *lines: str) -> str:
    return f"[agents.{name}]\nsource = 'a.py'\n" + "".join(f"{line}\n" for line in lines)


def names(world: World) -> list[str]:
    return [agent.name for agent in world.resolve().agents]


def test_places_follow_the_file(write: Write) -> None:
    toml = WORLD + kind("z") + kind("b", "count = 2") + kind("none", "count = 0") + kind("a", "count = 1")
    resolved = World.read(write(toml)).resolve()
    assert [agent.name for agent in resolved.agents] == ["z", "b-1", "b-2", "a-1"]
    assert [kind.name for kind in resolved.kinds] == ["z", "b", "none", "a"]


def test_args_one_by_one_make_so_many_agents(write: Write) -> None:
    agents = World.read(write(WORLD + kind("a", "args = [{ x = 1 }, { x = 2 }]"))).resolve().agents
    assert [(agent.name, agent.args) for agent in agents] == [("a-1", '{"x":1}'), ("a-2", '{"x":2}')]
    agents = World.read(write(WORLD + kind("a", "args = [{ x = 1 }]"))).resolve().agents
    assert [agent.name for agent in agents] == ["a-1"]


def test_args_one_by_one_match_the_count(write: Write) -> None:
    assert names(World.read(write(WORLD + kind("a", "count = 2", "args = [{}, {}]")))) == ["a-1", "a-2"]
    problem = only_problem(write(WORLD + kind("a", "count = 3", "args = [{}, {}]")))
    assert problem.where.endswith("world.toml: agents.a.args")
    assert problem.message == "has 2 tables, and there are 3 agents"
    assert problem.hint == "Write one table for each agent, or a single table for all."


def test_states_are_text(write: Write) -> None:
    toml = WORLD + kind("a", "state = { b = 1, a = [] }") + kind("b", 'state = "{ b: 1 }"') + kind("c")
    assert [agent.state for agent in World.read(write(toml)).resolve().agents] == ['{"a":[],"b":1}', "{ b: 1 }", ""]


@pytest.mark.parametrize(
    ("kinds", "where", "message"),
    [
        (kind("a", "count = 2") + kind('"a-2"'), "agents.a-2", 'has an agent "a-2", and so has agents.a'),
        (kind('"a-2"') + kind("a", "count = 2"), "agents.a", 'has an agent "a-2", and so has agents.a-2'),
        (kind('"a-1"', "count = 1") + kind("a-1-1"), "agents.a-1-1", 'has an agent "a-1-1", and so has agents.a-1'),
        (kind("a", 'table = "t.csv"') + kind("ann"), "agents.ann", 'has an agent "ann", and so has agents.a'),
    ],
)
def test_a_name_used_twice(write: Write, kinds: str, where: str, message: str) -> None:
    problem = only_problem(write(WORLD + kinds, {"t.csv": "name\nann\n"}))
    assert problem.where.endswith(f"world.toml: {where}")
    assert problem.message == message
    assert problem.hint == "Rename one of the kinds, so that each agent's name is used once."


def test_a_kind_used_twice_is_said_by_toml(write: Write) -> None:
    problem = only_problem(write(WORLD + kind("a") + kind("a")))
    assert "is not TOML" in problem.message
    assert "agents" in problem.message


@pytest.mark.parametrize("name", ["1st", "a b", "ä", "a*", "", "-a", "a/b", "x" * 65, "a\u202eb"])
def test_a_name_that_is_none(name: str) -> None:
    problem = only_problem(World("test", agents={name: Agent("pass\n")}))
    assert problem.message == "is not a name"
    assert problem.hint == "A name is a letter, then at most 63 letters, digits, '-', '_' or '.', all of them ASCII."
    assert visible(problem.where) == problem.where


@pytest.mark.parametrize("name", ["a", "Z9", "a.b-c_d", "x" * 64])
def test_a_name_that_is_one(name: str) -> None:
    assert names(World("test", agents={name: Agent("pass\n")})) == [name]


def test_the_reserved_name() -> None:
    problem = only_problem(World("test", agents={"outside": Agent("pass\n")}))
    assert problem.where == 'World("test"): agents.outside'
    assert problem.message == "is reserved"
    assert problem.hint == 'Choose another name. "outside" is the sender of messages that come from outside the run.'


def test_numbers_count_into_the_length_of_a_name() -> None:
    assert names(World("test", agents={"x" * 62: Agent("pass\n", count=9)}))[-1] == "x" * 62 + "-9"
    problem = only_problem(World("test", agents={"x" * 62: Agent("pass\n", count=10)}))
    assert problem.message == "is too long a name"
    assert f"numbered up to {'x' * 62}-10" in problem.hint


def test_a_world_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World("test", agents={"a": Agent("pass\n", count=600_000), "b": Agent("pass\n", count=600_000)})
    problem = only_problem(world)
    assert problem.where == 'World("test"): agents.b.count'
    assert "is too many" in problem.message
    assert "at most 1000000 agents" in problem.hint


def test_too_many_kinds_and_messages(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turnwise.world.written.parse.KINDS_MAX", 1)
    assert problems_of(write(WORLD + kind("a") + kind("b")))[0].message == "has 2 entries"
    monkeypatch.setattr("turnwise.world.written.parse.MESSAGES_MAX", 1)
    problem = only_problem(write(MINIMAL + "[[messages]]\nto = 'a'\nbody = ''\n" * 2))
    assert (problem.message, problem.hint) == ("has 2 entries", "At most 1 are allowed: send to a group.")


def test_a_crowd_is_listed() -> None:
    resolved = World("crowd", agents={"a": Agent("pass\n", count=100_000, args={"x": 1})}).resolve()
    assert len(resolved.agents) == 100_000
    assert resolved.agents[-1].name == "a-100000"
