"""Changes of a fork are told by log, why and diff, to the agents whom they concern."""

from __future__ import annotations

from pathlib import Path

import pytest

import turnwise
from tests.cli.conftest import Command, command
from tests.core.worlds import kind, plan
from turnwise import Agent, Grants
from turnwise.core.records import ChangeRecord
from turnwise.history.outside_changes import change_text
from turnwise.history.why import Cause

__all__ = ["command"]

CODE = """
def turn(t):
    t.state = {"heard": [message.body for message in t.inbox]}
    t.send(t.args["to"], t.self_name)
    t.wake_in(1)
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("changes")
    agents = {
        name: Agent(CODE, args={"to": to}, start=True, grants=Grants(send=["*"]))
        for name, to in (("a", "b"), ("b", "a"), ("c", "d"), ("d", "c"))
    }
    world = turnwise.World(name="pairs", rounds_max=5, agents=agents)
    turnwise.run(world, journal=folder / "run.journal", workers=1).close()
    changes = {"states": {"b": "else"}, "drop": [4], "overrides": ["agents.a.args.to=c"]}
    turnwise.fork(folder / "run.journal", 2, journal=folder / "fork.journal", workers=1, **changes).result().close()  # type: ignore[arg-type]
    return folder / "run.journal", folder / "fork.journal"


def all_of(cause: Cause) -> list[Cause]:
    return [cause, *[one for behind in cause.causes for one in all_of(behind)]]


def test_words() -> None:
    changes = [
        ChangeRecord("plan", None, '{"seed":8}'),
        ChangeRecord("state", 0, "x"),
        ChangeRecord("args", 0, "{}"),
        ChangeRecord("stop", 0),
        ChangeRecord("drop", 7),
    ]
    world = plan([kind("a")])
    assert [change_text(change, lambda place: world.agents[place].name) for change in changes] == [
        'the plan: {"seed":8}',
        "state of a: x",
        "arguments of a: {}",
        "a is stopped",
        "message 7 is not read",
    ]


def test_a_turn_has_what_was_changed_before_it_as_a_cause(pair: tuple[Path, Path]) -> None:
    def changed(agent: str, round_: int, depth: int) -> set[tuple[int, str, str]]:
        found = all_of(turnwise.why(pair[1], agent, round_, depth=depth))
        return {(cause.round, cause.agent, cause.text) for cause in found if cause.kind == "change"}

    assert (3, "a", 'arguments of a: {"to":"c"}') in changed("a", 3, 1)
    assert (3, "b", "state of b: else") in changed("b", 3, 1)
    assert changed("d", 3, 1) <= {(3, "d", "message 4 is not read")}
    assert changed("a", 2, 5) == set()
    assert (3, "a", 'arguments of a: {"to":"c"}') in changed("c", 4, 2)  # who was written to because of it


def test_a_difference_comes_from_outside_where_a_fork_has_changed_something(pair: tuple[Path, Path]) -> None:
    found = turnwise.diff(*pair)
    assert {words for side, round_, words in found.changes if (side, round_) == ("right", 3)} >= {
        'arguments of a: {"to":"c"}',
        "state of b: else",
        "message 4 is not read",
    }
    first = next(turn for turn in found.turns if turn.agent == "a")
    assert (first.round, first.causes) == (3, ("outside",))
    assert turnwise.diff(pair[1], pair[1]).changes == ()


def test_the_command_line_tells_them(command: Command, pair: tuple[Path, Path]) -> None:
    log = command("log", pair[1]).out
    assert 'changed   arguments of a: {"to":"c"}' in log
    assert "changed   state of b: else" in log
    assert "changed" not in command("log", pair[0]).out
    assert 'changed   right, round 3: arguments of a: {"to":"c"}' in command("diff", *pair).out
    assert "a (from outside)" in command("diff", *pair).out
    assert (
        "changed from outside, before the turn of a: arguments of a"
        in command("why", pair[1], "--agent", "a", "--round", "3").out
    )
