"""Runs that wait for messages: what was sent arrives once, whatever is stopped or killed meanwhile."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

import turnwise
from turnwise import Agent, EnvironmentFailure, Grants, JournalError, UsageError, World
from turnwise.journal import Journal
from turnwise.orchestrator.outside_box import box_path

LISTENER = """
def turn(t):
    t.state["heard"] = t.state.get("heard", []) + [m.body for m in t.inbox]
    if "the end" in t.state["heard"]:
        t.finish(len(t.state["heard"]))
"""


def listening(rounds_max: int = 1_000) -> World:
    return turnwise.World(
        name="listening",
        rounds_max=rounds_max,
        agents={"listener": Agent(LISTENER, groups=["all"], grants=Grants(finish=True))},
    )


def heard(journal: Path) -> list[str]:
    with turnwise.open(journal) as run:
        return list(json.loads(run.state("listener") or "{}").get("heard", []))


def test_a_run_waits_for_messages_of_this_process_and_of_others(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with listening().start(journal=path, workers=1, serve=True) as live:
        assert not live.wait_quiet(0)
        live.play()
        assert live.wait_quiet(60)
        assert live.progress().quiet
        live.send("listener", "one")
        assert live.wait_quiet(60)
        assert heard(path) == ["one"]
        turnwise.send(path, "all", "two")
        while heard(path) != ["one", "two"]:
            assert not live.wait(0.05)
        with turnwise.open(path) as run:
            assert len(run.timings) == 2  # of the last round, too, though no other follows
        turnwise.send(path, "listener", "the end")
        with live.result() as run:
            assert (run.status, run.result) == ("finished", 3)
    assert not box_path(path).exists()
    assert turnwise.replay(path).difference is None
    with pytest.raises(UsageError, match="has ended"):
        turnwise.send(path, "listener", "too late")


def test_without_serve_a_run_ends_when_nobody_has_anything_to_do(tmp_path: Path) -> None:
    with listening().start(journal=tmp_path / "a.journal", workers=1).result() as run:
        assert run.status == "quiet"


def test_what_is_sent_to_a_run_that_is_stopped_is_read_when_it_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with listening().start(journal=path, workers=1, serve=True) as live:
        live.play()
        assert live.wait_quiet(60)
        live.stop()
        assert live.wait(60)
    for number in range(3):
        turnwise.send(path, "listener", str(number))
    with turnwise.resume(path, workers=1, serve=True) as live:
        live.play()
        assert live.wait_quiet(60)
        live.stop()
        live.wait(60)
    assert heard(path) == ["0", "1", "2"]
    turnwise.send(path, "listener", "the end")
    with turnwise.resume(path, workers=1).result() as run:
        assert run.result == 4
    assert turnwise.replay(path).difference is None


def test_the_head_is_that_of_the_same_messages_in_the_same_rounds(tmp_path: Path) -> None:
    heads = []
    for name, outside in (("a", False), ("b", True)):
        path = tmp_path / f"{name}.journal"
        with listening().start(journal=path, workers=1, serve=outside) as live:
            assert live.questions() == []  # it has begun
            for body in ("one", "two", "the end"):
                turnwise.send(path, "listener", body) if outside else live.send("listener", body)
                assert live.step()
            with live.result() as run:
                heads.append(run.head)
    assert heads[0] == heads[1]


def test_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with listening(rounds_max=1).start(journal=path, workers=1) as live:
        assert live.questions() == []  # it has begun
        for to, body, said in (
            ("nobody", "x", "no agent or group"),
            ("listener", 7, "text, not int"),
            ("listener", "\ud800", "surrogate"),
            ("listener", "x" * 2_000_000, "at most"),
        ):
            with pytest.raises(UsageError, match=said):
                turnwise.send(path, to, body)  # type: ignore[arg-type]
        assert not box_path(path).exists()
        live.send("listener", "x")
        assert live.step()
        with pytest.raises(UsageError, match="nobody can read it"):
            turnwise.send(path, "listener", "x")
    with pytest.raises(JournalError):
        turnwise.send(tmp_path / "none.journal", "listener", "x")


def test_a_message_to_an_agent_that_stops_before_it_comes_is_a_dead_letter(tmp_path: Path) -> None:
    world = turnwise.World(
        name="stopping",
        agents={
            "stopper": Agent("def turn(t):\n    t.stop('other')\n", start=True, grants=Grants(stop=["other"])),
            "other": Agent("def turn(t):\n    pass\n"),
        },
    )
    path = tmp_path / "a.journal"
    with world.start(journal=path, workers=1, serve=True) as live:
        assert live.questions() == []  # it has begun
        turnwise.send(path, "other", "first")
        turnwise.send(path, "stopper", "again")
        live.play()
        assert live.wait_quiet(60)
        with pytest.raises(UsageError, match="no agent or group"):
            turnwise.send(path, "other", "second")
        live.stop()
        live.wait(60)
    with turnwise.open(path) as run:
        assert [message.body for message in run.messages] == ["first", "again"]


SERVE = """
import sys
from pathlib import Path
import turnwise
from tests.orchestrator.test_stays_up import listening
path = Path(sys.argv[1])
live = turnwise.resume(path, workers=1, serve=True) if path.exists() else listening().start(
    journal=path, workers=1, serve=True
)
with live:
    live.play()
    print("plays", flush=True)
    live.wait()
"""


def serving(path: Path) -> subprocess.Popen[str]:
    """A process that plays a run and waits for messages; it has begun when this returns."""
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "plays\n"
    return process


def sent(path: Path, body: str) -> None:
    """Send a message, once there is a journal to send it to."""
    while True:
        try:
            return turnwise.send(path, "listener", body)
        except (JournalError, EnvironmentFailure):
            assert not path.exists() or path.stat().st_size == 0 or path.with_name(path.name + "-lock").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="kills processes")
def test_what_is_on_disk_arrives_once_though_the_run_is_killed(tmp_path: Path) -> None:
    path, chance, number = tmp_path / "a.journal", Random(4), 0
    for _ in range(5):
        process = serving(path)
        for _ in range(chance.randrange(1, 12)):
            sent(path, str(number))
            number += 1
        wanted = chance.randrange(number)
        while len(heard(path)) < wanted:
            assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
        sent(path, str(number))
        number += 1
    sent(path, "the end")
    with turnwise.resume(path, workers=1).result() as run:
        assert run.result == number + 1
    assert heard(path) == [*map(str, range(number)), "the end"]
    assert turnwise.replay(path).difference is None


def test_it_is_the_journal_that_says_how_far_was_read(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with listening().start(journal=path, workers=1) as live:
        assert live.questions() == []  # it has begun
        turnwise.send(path, "listener", "one")
        assert live.step()
    with Journal.open(path) as journal:
        position = journal.header.received
        assert position is not None
        assert position.position == box_path(path).stat().st_size
    with turnwise.resume(path, workers=1) as live:
        assert not live.step()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM received")
    with turnwise.resume(path, workers=1) as live:  # which is what a run does that is not told
        assert live.step()
    assert heard(path) == ["one", "one"]


def test_a_fork_has_what_is_sent_to_it_and_nothing_else(tmp_path: Path) -> None:
    path, other = tmp_path / "a.journal", tmp_path / "b.journal"
    with listening().start(journal=path, workers=1) as live:
        assert live.questions() == []  # it has begun
        turnwise.send(path, "listener", "one")
        assert live.step()
    turnwise.send(path, "listener", "for the first")
    with turnwise.fork(path, 1, journal=other, workers=1) as live:
        assert not live.step()
        turnwise.send(other, "listener", "for the fork")
        assert live.step()
    assert heard(other) == ["one", "for the fork"]
    with turnwise.resume(other, workers=1) as live:
        assert not live.step()
