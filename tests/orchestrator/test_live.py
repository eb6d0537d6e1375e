"""A run that is driven by the program that embeds it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import turnwise
from tests.guests import SPINS, constant
from tests.orchestrator.worlds import lively
from turnwise import Agent, Grants, InitialMessage, UsageError, World

ECHO = """
from turnwise_guest import Turn

def turn(t: Turn) -> None:
    t.state["heard"] = t.state.get("heard", []) + [m.body for m in t.inbox]
    for m in t.inbox:
        if m.body == "stop":
            t.finish(t.state["heard"])
"""


def listening() -> World:
    return turnwise.World(name="listening", agents={"echo": Agent(ECHO, groups=["all"])})


def test_steps_and_messages_from_outside(tmp_path: Path) -> None:
    with listening().start(journal=tmp_path / "a.journal", workers=1) as live:
        assert live.step() is None
        live.send("echo", "one")
        live.send("all", "two")
        record = live.step()
        assert record is not None
        assert [message.body for message in record.inputs] == ["one", "two"]
        assert live.step() is None
        live.send("echo", "stop")
        with live.result() as run:
            assert (run.status, run.result) == ("finished", ["one", "two", "stop"])
            assert [message.sender for message in run.messages] == ["outside"] * 3
            assert len(run.rounds) == 2
    assert turnwise.replay(tmp_path / "a.journal").difference is None


def test_a_message_to_nobody_from_outside_is_refused(tmp_path: Path) -> None:
    with listening().start(journal=tmp_path / "a.journal") as live:
        with pytest.raises(UsageError, match="no agent or group called 'nobody'"):
            live.send("nobody", "hello")
        with live.result() as run:
            assert run.status == "quiet"


def test_what_was_stepped_is_durable_and_can_be_resumed(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with turnwise.run(lively(), journal=tmp_path / "whole.journal") as whole:
        with lively().start(journal=path) as live:
            for _ in range(4):
                live.step()
            with turnwise.open(path) as meanwhile:
                assert (meanwhile.status, len(meanwhile.rounds)) == ("open", 4)
        with turnwise.resume(path).result() as run:
            assert run.head == whole.head
    with pytest.raises(UsageError, match="has ended already"):
        turnwise.resume(path)


def test_stop_comes_to_rest_between_rounds(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    forever = turnwise.World(
        name="forever", agents={"a": Agent(constant({"state": "", "wake_in": 1}), start=True)}, rounds_max=10**6
    )
    with forever.start(journal=path) as live:
        live.play()
        while live.progress().round < 3:
            live.wait(0.01)
        live.stop()
        assert live.wait(30)
        rounds = live.progress().round
    with turnwise.open(path) as run:
        assert run.status == "open"
        assert len(run.rounds) == rounds


def test_abort_leaves_what_was_committed(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    stuck = turnwise.World(
        name="stuck",
        turn_seconds_max=10**12,
        agents={
            "spins": Agent(SPINS, fuel=10**15),
            "sends": Agent(
                constant({"state": "", "send": [{"to": "spins", "body": ""}]}),
                start=True,
                grants=Grants(send=["spins"]),
            ),
        },
    )
    with stuck.start(journal=path, workers=1) as live:
        live.play()
        while live.progress().round != 2:
            live.wait(0.01)
        live.abort()
        assert live.wait(30)
        live.close()
        live.close()
    with turnwise.open(path) as run:
        assert len(run.rounds) == 1


def test_a_failure_to_begin_is_raised_by_whoever_waits(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    path.write_text("mine")
    with listening().start(journal=path) as live, pytest.raises(turnwise.JournalError):
        live.step()
    with listening().start(journal=path) as live, pytest.raises(turnwise.JournalError):
        live.result()
    assert path.read_text() == "mine"


def test_a_live_run_can_be_driven_from_an_event_loop(tmp_path: Path) -> None:
    async def play() -> str:
        live = listening().start(journal=tmp_path / "a.journal")
        run = await asyncio.to_thread(live.result)
        with run:
            return run.status

    assert asyncio.run(play()) == "quiet"


def test_on_failure_stop_ends_the_run_and_says_why(tmp_path: Path) -> None:
    world = turnwise.World(
        name="fragile", on_failure="stop", agents={"a": Agent("def turn(t):\n    1 / 0\n", start=True)}
    )
    with turnwise.run(world, journal=tmp_path / "a.journal") as run:
        assert run.status == "failed"
        assert run.message is not None
        assert run.message.startswith("a failed in round 1: Traceback")
        assert "1 / 0" in run.message


def test_idle_rounds_are_skipped_in_the_journal_too(tmp_path: Path) -> None:
    source = """
def turn(t):
    t.record("round", t.round)
    if t.round < 1000:
        t.wake_in(333)
"""
    path = tmp_path / "a.journal"
    world = turnwise.World(name="sleeper", agents={"a": Agent(source, start=True)})
    with turnwise.run(world, journal=path) as run:
        assert [record.value for record in run.records] == [1, 334, 667, 1000]
        assert [record.round for record in run.rounds] == [1, 334, 667, 1000]
        assert (len(run.rounds), run.last_round) == (4, 1000)
    assert turnwise.replay(path).difference is None


def test_python_and_toml_give_the_same_head(tmp_path: Path) -> None:
    (tmp_path / "echo.py").write_text(ECHO)
    (tmp_path / "world.toml").write_text(
        """
[world]
name = "same"
seed = 4
[agents.echo]
source = "echo.py"
groups = ["all"]
state = { heard = ["zero"] }
[[messages]]
to = "echo"
body = "stop"
"""
    )
    built = turnwise.World(
        name="same",
        seed=4,
        agents={"echo": Agent("echo.py", groups=["all"], state={"heard": ["zero"]})},
        messages=[InitialMessage("echo", "stop")],
        folder=tmp_path,
    )
    with (
        turnwise.run(tmp_path, journal=tmp_path / "a.journal") as one,
        turnwise.run(built, journal=tmp_path / "b.journal") as two,
    ):
        assert one.head == two.head
        assert one.result == ["zero", "stop"]
