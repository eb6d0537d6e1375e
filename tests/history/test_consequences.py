"""What followed from a turn or a message: those who read it, what they sent, and no turn twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import turnwise
from tests.orchestrator.worlds import lively
from turnwise.errors import UsageError
from turnwise.history import consequences
from turnwise.history.consequences import Consequence, follow
from turnwise.history.why import why
from turnwise.journal import Journal

RELAY = """
def turn(t):
    if t.turn == 1 and t.self_name == "a":
        t.send("b", "one")
        t.spawn("child", "c")
        t.wake_in(3)
    for message in t.inbox:
        if t.self_name == "b":
            t.send("nobody", message.body + " more")
            t.send("c", message.body + " more")
"""
CHILD = """
def turn(t):
    for message in t.inbox:
        t.log(message.body)
"""


def walk(node: Consequence) -> Iterator[Consequence]:
    """A consequence and all that follow from it."""
    yield node
    for one in node.follows:
        yield from walk(one)


def shape(node: Consequence) -> list[object]:
    """A tree as lists: kind, agent, round, what follows."""
    return [node.kind, node.agent, node.round, *map(shape, node.follows)]


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("relay") / "a.journal"
    grants = turnwise.Grants(send=["*"], spawn=["child"])
    agents = {
        "a": turnwise.Agent(RELAY, start=True, grants=grants),
        "b": turnwise.Agent(RELAY, grants=grants),
        "child": turnwise.Agent(CHILD, count=0),
    }
    turnwise.run(turnwise.World("relay", agents=agents), journal=path, workers=1).close()
    return path


def test_a_turn_leads_to_readers_children_and_its_agents_next(relay: Path) -> None:
    with Journal.open(relay) as journal:
        found = follow(journal, "a", 1, depth=5)
        read = ["turn", "b", 2, ["message", "b", 2], ["message", "b", 2, ["turn", "c", 3]]]
        assert shape(found) == [
            "turn", "a", 1,
            ["message", "a", 1, read],
            ["spawned", "c", 1, ["turn", "c", 3]],
            ["turn", "a", 4],
        ]  # fmt: skip
        assert [node.text for node in walk(found) if node.kind == "message"] == ["one", "one more", "one more"]


def test_a_turn_is_followed_once_and_not_deeper_than_asked(relay: Path) -> None:
    with Journal.open(relay) as journal:
        found = follow(journal, "a", 1, depth=5)
        assert [node.told for node in walk(found) if (node.kind, node.agent) == ("turn", "c")].count(True) == 1
        near = follow(journal, "a", 1, depth=1)
        assert not any(node.told for node in walk(near) if node.kind == "turn" and node.agent == "b")
        message = next(one.seq for one in journal.queries.messages() if one.body == "one")
        assert shape(follow(journal, message=message, depth=1))[:4] == [
            "message",
            "a",
            1,
            ["turn", "b", 2, ["message", "b", 2], ["message", "b", 2, ["turn", "c", 3]]],
        ]


def test_who_read_a_message_has_it_among_the_causes(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    turnwise.run(lively(seed=3, rounds_max=4), journal=path).close()
    readers = 0
    with Journal.open(path) as journal:
        for message in list(journal.queries.messages())[:40]:
            for read in follow(journal, message=message.seq, depth=1).follows:
                readers += 1
                behind = why(path, read.agent, read.round, depth=1)
                assert any(cause.kind == "message" and cause.text == message.body for _, cause in behind.walk())
    assert readers > 10


def test_readers_that_are_not_told_are_counted(relay: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consequences, "READERS_MAX", 0)
    with Journal.open(relay) as journal:
        assert [node.hidden for node in walk(follow(journal, "a", 1)) if node.kind == "message"] == [1]
    monkeypatch.setattr(consequences, "CONSEQUENCES_MAX", 0)
    with Journal.open(relay) as journal:
        assert not follow(journal, "a", 1).told


def test_what_is_not_in_the_run_is_refused(relay: Path) -> None:
    with Journal.open(relay) as journal:
        with pytest.raises(UsageError, match="there is no message 99"):
            follow(journal, message=99)
        with pytest.raises(UsageError, match="a has no turn in round 2"):
            follow(journal, "a", 2)
        with pytest.raises(UsageError, match="name what is to be followed"):
            follow(journal)
