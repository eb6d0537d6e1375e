"""A run that is driven by the program that embeds it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import turnwise
from tests.guests import SPINS, constant
from tests.orchestrator.worlds import lively
from turnwise import Agent, Grants, InitialMessage, NoRound, RoundRecord, RunClosed, UsageError, World
from turnwise.orchestrator.live import Live
from turnwise.orchestrator.progress import Status
from turnwise.orchestrator.session import Session

ECHO = """
from turnwise_guest import Turn

def turn(t: Turn) -> None:
    t.state["heard"] = t.state.get("heard", []) + [m.body for m in t.inbox]
    for m in t.inbox:
        if m.body == "stop":
            t.finish(t.state["heard"])
"""


def listening() -> World:
    return turnwise.World(name="listening", agents={"echo": Agent(ECHO, groups=["all"], grants=Grants(finish=True))})


def test_steps_and_messages_from_outside(tmp_path: Path) -> None:
    with listening().start(journal=tmp_path / "a.journal", workers=1) as live:
        assert live.step() is NoRound.WAITING
        live.send("echo", "one")
        live.send("all", "two")
        record = live.step()
        assert isinstance(record, RoundRecord)
        assert [message.body for message in record.inputs] == ["one", "two"]
        assert live.step() is NoRound.WAITING
        assert not live.step()
        live.send("echo", "stop")
        with live.result() as run:
            assert (run.status, run.result) == ("finished", ["one", "two", "stop"])
            assert [message.sender for message in run.messages] == ["outside"] * 3
            assert len(run.rounds) == 2
    assert turnwise.replay(tmp_path / "a.journal").difference is None


def test_a_message_from_outside_that_no_round_is_left_for_is_refused(tmp_path: Path) -> None:
    world = turnwise.World(name="short", rounds_max=1, agents={"echo": Agent(ECHO)})
    with world.start(journal=tmp_path / "a.journal", workers=1) as live:
        live.send("echo", "one")
        assert isinstance(live.step(), RoundRecord)
        with pytest.raises(UsageError, match="round 1 is the last"):
            live.send("echo", "two")


LEAVES = """
def turn(t):
    t.stop(t.self_name)
"""


def test_a_message_to_an_agent_that_leaves_meanwhile_is_a_dead_letter(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    agents = {"a": Agent(LEAVES, start=True), "b": Agent(LEAVES)}
    with turnwise.World(name="leaving", agents=agents).start(journal=path, workers=1) as live:
        live.send("b", "go")
        assert isinstance(live.step(), RoundRecord)
        assert live._session is not None
        live._session._driver.input("b", "too late")
        with live.result() as run:
            assert [(m.body, m.recipients) for m in run.messages] == [("go", ("b",)), ("too late", ())]
            assert run.status == "quiet"
    assert turnwise.replay(path).difference is None


def test_a_message_that_comes_during_the_last_round_is_a_dead_letter_and_one_after_is_refused(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.journal"

    async def meanwhile(session: Session) -> None:
        last = asyncio.ensure_future(session.round())
        while session._driver.machine.between_rounds:
            await asyncio.sleep(0)
        session.send("echo", "too late")
        await last
        with pytest.raises(UsageError, match="the run has ended"):
            session.send("echo", "later still")

    with listening().start(journal=path, workers=1) as live:
        live.send("echo", "stop")
        session = live._begun.result()
        live._thread.submit(meanwhile(session)).result()
        with live.result() as run:
            assert (run.status, run.result, len(run.rounds)) == ("finished", ["stop"], 1)
            told = [(message.body, message.round, message.recipients) for message in run.messages]
            assert told == [("stop", 0, ("echo",)), ("too late", 1, ())]
    replayed = turnwise.replay(path)
    assert (replayed.difference, replayed.rounds) == (None, 1)


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


def test_a_step_tells_waiting_from_over(tmp_path: Path) -> None:
    with listening().start(journal=tmp_path / "a.journal") as live:
        assert live.step() is NoRound.WAITING
        live.send("echo", "stop")
        assert isinstance(live.step(), RoundRecord)
        assert live.step() is NoRound.OVER
        assert live.step() is NoRound.OVER
        with pytest.raises(UsageError, match="the run has ended"):
            live.send("echo", "late")
    with turnwise.open(tmp_path / "a.journal") as run:
        assert run.status == "finished"


def test_rounds_can_be_iterated(tmp_path: Path) -> None:
    with lively().start(journal=tmp_path / "a.journal") as live:
        rounds = [record.round for record in live]
        assert live.step() is NoRound.OVER
        assert list(live) == []
    with turnwise.run(lively(), journal=tmp_path / "b.journal") as run:
        assert rounds == [record.round for record in run.rounds]


def test_the_twins_for_coroutines_do_the_same(tmp_path: Path) -> None:
    async def main() -> list[str]:
        async with listening().start(journal=tmp_path / "a.journal") as live:
            assert await live.astep() is NoRound.WAITING
            await live.asend("echo", "one")
            assert [record.round async for record in live] == [1]
            await live.asend("echo", "stop")
            with await live.aresult() as run:
                assert (run.status, run.result) == ("finished", ["one", "stop"])
            with pytest.raises(RunClosed):
                await live.astep()
        return ["done"]

    assert asyncio.run(main()) == ["done"]


def test_who_waits_may_give_up_and_the_round_is_played_all_the_same(tmp_path: Path) -> None:
    async def main() -> None:
        async with listening().start(journal=tmp_path / "a.journal") as live:
            await live.asend("echo", "one")
            waiting = asyncio.create_task(live.astep())
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert await live.astep() is NoRound.WAITING  # after the round that nobody waited for
            assert live.progress().round == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    ("to", "body", "message"),
    [
        ("echo", {"a": 1}, "the body of a message is text, not dict"),
        ("echo", b"bytes", "the body of a message is text, not bytes"),
        ("echo", None, "the body of a message is text, not NoneType"),
        (["echo"], "hello", "the name of who gets a message is text, not list"),
        ("echo", "half \ud800", "half a surrogate pair at character 6"),
    ],
)
def test_what_is_no_message_is_refused_at_once_and_the_run_goes_on(
    tmp_path: Path, to: Any, body: Any, message: str
) -> None:
    with listening().start(journal=tmp_path / "a.journal") as live:
        with pytest.raises(UsageError, match=message):
            live.send(to, body)
        live.send("echo", "fine")
        record = live.step()
        assert isinstance(record, RoundRecord)
        assert [one.body for one in record.inputs] == ["fine"]


@pytest.mark.parametrize("end", ["close", "abort"])
@pytest.mark.parametrize("begun", [True, False])
def test_a_run_that_is_closed_says_so_whatever_is_asked_of_it(tmp_path: Path, end: str, begun: bool) -> None:
    with listening().start(journal=tmp_path / "a.journal") as live:
        if begun:
            live.step()
        getattr(live, end)()
        for use in (live.step, live.play, live.result, lambda: live.send("echo", "x"), lambda: list(live)):
            with pytest.raises(RunClosed, match="has been closed"):
                use()
        assert isinstance(RunClosed(), UsageError)
        live.stop()
        live.progress()
        live.logs()


def test_stopping_what_has_not_begun_ends_it_at_once(tmp_path: Path) -> None:
    """Loading may take minutes, and nothing of it is worth waiting for."""
    begun = threading.Event()

    async def begin(status: Status) -> Session:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    with Live(tmp_path / "a.journal", begin) as live:
        live.play()
        assert begun.wait(60)
        live.stop()
        assert live.wait(60)
        with pytest.raises(RunClosed):
            live.result()


def test_steps_from_two_threads_are_rounds_one_after_the_other(tmp_path: Path) -> None:
    with lively().start(journal=tmp_path / "a.journal") as live, ThreadPoolExecutor(3) as threads:
        found = [list(rounds) for rounds in threads.map(list, [live] * 3)]
    played = sorted(record.round for rounds in found for record in rounds)
    with turnwise.run(lively(), journal=tmp_path / "b.journal") as run:
        assert played == [record.round for record in run.rounds]
    assert turnwise.replay(tmp_path / "a.journal").difference is None


def test_everything_works_inside_an_event_loop_as_in_a_notebook(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"

    async def cell() -> None:
        with turnwise.run(listening(), journal=path) as run:
            assert run.status == "quiet"
        assert turnwise.check(lively()) == []
        assert turnwise.replay(path).difference is None
        with listening().start(journal=tmp_path / "b.journal") as live:
            assert live.step() is NoRound.WAITING

    asyncio.run(cell())


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
grants = { finish = true }
state = { heard = ["zero"] }
[[messages]]
to = "echo"
body = "stop"
"""
    )
    built = turnwise.World(
        name="same",
        seed=4,
        agents={"echo": Agent("echo.py", groups=["all"], grants=Grants(finish=True), state={"heard": ["zero"]})},
        messages=[InitialMessage("echo", "stop")],
        folder=tmp_path,
    )
    with (
        turnwise.run(tmp_path, journal=tmp_path / "a.journal") as one,
        turnwise.run(built, journal=tmp_path / "b.journal") as two,
    ):
        assert one.head == two.head
        assert one.result == ["zero", "stop"]
