"""Backwards from a turn, a message or a value: every cause that is recorded, each turn once, as deep as asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import turnwise
from tests.cli.conftest import Command, command  # noqa: F401 - a fixture
from tests.history.test_diff import chain, played
from turnwise import Agent, Cause, Grants, InitialMessage, JournalError, UsageError

why_module = import_module("turnwise.history.why")

PARENT = """
def turn(t):
    t.record("turn", t.turn)
    if t.turn == 1:
        t.spawn("child", "kid")
        t.wake_in(1)
"""

CHILD = """
def turn(t):
    t.send("parent", "mum")
"""


@pytest.fixture(scope="module")
def chained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return played(tmp_path_factory.mktemp("why"), "chain", chain("red"))


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    world = turnwise.World(
        name="family",
        rounds_max=4,
        agents={
            "parent": Agent(PARENT, start=True, grants=Grants(spawn=["child"], send=["parent"])),
            "child": Agent(CHILD, count=0, start=True, grants=Grants(send=["parent"])),
        },
    )
    return played(tmp_path_factory.mktemp("why"), "family", world)


def walk(cause: Cause) -> Iterator[Cause]:
    return (behind for _, behind in cause.walk())


def named(cause: Cause) -> tuple[str, int, str]:
    return cause.kind, cause.round, cause.agent


def test_a_turn_goes_back_over_messages_to_the_world(chained: Path) -> None:
    found = turnwise.why(chained, "c", 3, depth=9)
    assert named(found) == ("turn", 3, "c")
    message, world = found.causes
    assert (named(message), message.text) == (("message", 2, "b"), "red!")
    assert (named(world), world.causes) == (("world", 0, "c"), ())
    sent = message.causes[0]
    assert named(sent) == ("turn", 2, "b")
    assert [named(cause) for cause in walk(sent.causes[0])] == [
        ("message", 1, "a"),
        ("turn", 1, "a"),
        ("world", 0, "a"),
    ]
    assert {cause.agent for cause in walk(found)} == {"a", "b", "c"}


def test_depth_bounds_what_is_told(chained: Path) -> None:
    found = turnwise.why(chained, "c", 3, depth=1)
    behind = found.causes[0].causes[0]
    assert (named(behind), behind.told, behind.causes, behind.hidden) == (("turn", 2, "b"), False, (), 1)
    with pytest.raises(UsageError, match="depth"):
        turnwise.why(chained, "c", 3, depth=0)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two agents who write to each other 700 times, a third who listens to both, and one whom nobody hears."""
    talk = 'def turn(t):\n    t.send(t.args["to"], "on")\n    t.send("c", "and on")\n'
    world = turnwise.World(
        name="long",
        rounds_max=700,
        agents={
            "a": Agent(talk, args={"to": "b"}, grants=Grants(send=["*"])),
            "b": Agent(talk, args={"to": "a"}, grants=Grants(send=["*"])),
            "c": Agent("def turn(t):\n    pass\n"),
            "d": Agent("def turn(t):\n    t.wake_in(1)\n", start=True),
        },
        messages=[InitialMessage("a", "go")],
    )
    return played(tmp_path_factory.mktemp("why"), "long", world)


def turns_told(found: Cause) -> set[tuple[str, int, str]]:
    return {named(cause) for _, cause in found.walk() if cause.kind == "turn"}


def test_a_tree_is_as_deep_as_the_run(long: Path, command: Command) -> None:  # noqa: F811
    found = turnwise.why(long, "c", 700, depth=10_000)
    assert len(turns_told(found)) == 699 + 699  # those of a or b in all rounds but the last, and those of c
    assert max(level for level, _ in found.walk()) > 699
    assert not [cause for _, cause in found.walk() if cause.hidden is not None]
    assert "699" not in repr(found)  # a representation does not go down the tree
    shown = command("why", long, "--agent", "c", "--round", "700", "--depth", "10000")
    assert (shown.code, shown.out.count(" turn of ")) == (0, sum(c.kind == "turn" for _, c in found.walk()))
    value = json.loads(command("why", long, "--agent", "c", "--round", "700", "--depth", "10000", "--json").out)
    assert (len(value["causes"]), value["hidden"]) == (len(list(found.walk())), 0)
    assert all(cause["of"] is None or cause["of"] < cause["id"] for cause in value["causes"])


@pytest.mark.parametrize("depth", [1, 2, 7, 400])
def test_turns_that_are_not_told_are_counted_each_once(long: Path, family: Path, depth: int) -> None:
    for path, agent, round_ in ((long, "c", 700), (family, "parent", 3)):
        whole = turns_told(turnwise.why(path, agent, round_, depth=10_000))
        found = turnwise.why(path, agent, round_, depth=depth)
        hidden = sum(cause.hidden or 0 for _, cause in found.walk())
        assert len(turns_told(found)) + hidden == len(whole)


def test_no_more_causes_than_are_bounded(long: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(why_module, "CAUSES_MAX", 30)
    found = turnwise.why(long, "c", 700, depth=10_000)
    told = list(found.walk())
    assert 30 <= len(told) < 80
    assert len(turns_told(found)) + sum(cause.hidden or 0 for _, cause in told) == 2 * 699


def test_the_command_says_how_much_it_hides(command: Command, chained: Path) -> None:  # noqa: F811
    shown = command("why", chained, "--agent", "c", "--round", "3", "--depth", "1").out
    assert "turn of b  (not followed; 1 more turn behind it)\n" in shown
    assert "1 turn behind these is not shown" in shown


def test_a_state_goes_back_to_the_turns_before(chained: Path) -> None:
    found = turnwise.why(chained, "d", 3, depth=9)
    assert [named(cause) for cause in walk(found)] == [
        ("turn", 3, "d"),
        ("turn", 2, "d"),
        ("turn", 1, "d"),
        ("world", 0, "d"),
    ]


def test_a_message_from_outside_has_nothing_behind_it(chained: Path) -> None:
    found = turnwise.why(chained, message=0)
    assert (named(found), found.text, found.causes) == (("message", 0, "outside"), "hello", ())


def test_a_child_comes_from_who_spawned_it_and_each_turn_is_told_once(family: Path) -> None:
    found = turnwise.why(family, "parent", 3, record="turn", depth=9)
    assert (named(found), found.text) == (("record", 3, "parent"), "turn = 3")
    told = [named(cause) for cause in walk(found) if cause.kind == "turn" and cause.told]
    assert sorted(told) == [("turn", 1, "parent"), ("turn", 2, "kid"), ("turn", 2, "parent"), ("turn", 3, "parent")]
    assert len(told) == len(set(told))


def test_what_is_not_there_is_said(chained: Path) -> None:
    for arguments, what in (
        ({"agent": "c", "round": 1}, "no turn in round 1"),
        ({"agent": "c"}, "name what"),
        ({"message": 99}, "no message 99"),
        ({"agent": "c", "round": 3, "record": "x"}, "recorded no x"),
    ):
        with pytest.raises(UsageError, match=what):
            turnwise.why(chained, **arguments)  # type: ignore[arg-type]
    with pytest.raises(JournalError, match="no agent 'z'"):
        turnwise.why(chained, "z", 3)
    with pytest.raises(JournalError, match="no round 77"):
        turnwise.why(chained, "c", 77)


def test_the_command_draws_a_tree(command: Command, chained: Path) -> None:  # noqa: F811
    ended = command("why", chained, "--agent", "c", "--round", "3")
    assert ended.code == 0
    assert ended.out.startswith("round 3  turn of c\n  round 2  message from b: red!\n    round 2  turn of b\n")
    assert "  in the world from the beginning: c: {}\n" in ended.out
    value = json.loads(command("why", chained, "--message", "0", "--json").out)
    assert value["hidden"] == 0
    (cause,) = value["causes"]
    assert cause == {
        "id": 0,
        "of": None,
        "kind": "message",
        "round": 0,
        "agent": "outside",
        "text": "hello",
        "told": True,
        "hidden": None,
    }
