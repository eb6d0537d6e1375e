"""Agents that are spawned, spawn, sleep, and are stopped: the whole of it in Python, in sandboxes."""

from __future__ import annotations

from pathlib import Path

import turnwise
from turnwise import Agent, Grants

PARENT = """
from turnwise_guest import Turn

def turn(t: Turn) -> None:
    if t.turn == 1:
        for name in ("ada", "bo"):
            t.spawn("child", name, {"by": t.self_name}, {"age": 10})
        t.send("ada", "good morning")
        t.wake_in(5)
    for message in t.inbox:
        t.log(f"{message.sender}: {message.body}")
    if t.round == 6:
        t.stop("bo")
        t.send("bo", "too late")
        t.wake_in(1)
    if t.round == 7:
        t.finish({"now": str(t.now())})
"""

CHILD = """
from turnwise_guest import Turn

def turn(t: Turn) -> None:
    t.state["age"] += 1
    t.record("age", t.state["age"])
    t.send(t.args["by"], f"I am {t.self_name}, {t.state['age']}, and had {len(t.inbox)} messages")
    if t.self_name == "ada":
        t.send("parent", "and may I write to bo?")
        if t.turn == 2:
            t.send("bo", "hello")
    t.wake_in(1)
"""


def test_a_family(tmp_path: Path) -> None:
    world = turnwise.World(
        name="family",
        agents={
            "parent": Agent(
                PARENT,
                start=True,
                grants=Grants(spawn=["child"], stop=["bo"], send=["ada", "bo", "parent"], finish=True),
            ),
            "child": Agent(
                CHILD, count=0, start=True, args={"by": "nobody", "hat": "red"}, grants=Grants(send=["parent"])
            ),
        },
    )
    with turnwise.run(world, journal=tmp_path / "a.journal", workers=2) as run:
        assert run.result == {"now": "2000-01-01 00:00:06+00:00"}
        agents = {agent.name: agent for agent in run.agents}
        assert (agents["ada"].born, agents["ada"].parent) == (1, "parent")
        assert agents["ada"].args == {"by": "parent", "hat": "red"}
        moves = [(turn.round, turn.agent) for turn in run.turns if turn.agent != "parent"]
        assert moves[:4] == [(2, "ada"), (2, "bo"), (3, "ada"), (3, "bo")]
        assert (6, "bo") in moves
        assert (7, "bo") not in moves
        assert max(number for number, name in moves if name == "ada") == 3  # its wake-up was discarded with its output
        ages = [record.value for record in run.records if record.agent == "bo"]
        assert ages == [11, 12, 13, 14, 15]
        late = next(message for message in run.messages if message.body == "too late")
        assert late.recipients == ()
        # The child's own grants do not name bo: that turn failed, and its state stayed.
        (failed,) = run.failures
        assert (failed.agent, failed.round) == ("ada", 3)
        assert failed.failure is not None
        assert "not granted to send to 'bo'" in failed.failure.message
    assert turnwise.replay(tmp_path / "a.journal").difference is None
