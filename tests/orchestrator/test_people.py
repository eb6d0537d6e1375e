"""Agents that ask people, in whole runs: answered, stopped, killed, replayed and forked."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import turnwise
from tests.guests import constant
from turnwise import Agent, Grants, InitialMessage, NoRound, UsageError, World
from turnwise.journal import Journal
from turnwise.orchestrator import outside_box
from turnwise.orchestrator.live import Live

ASKER = """
def turn(t):
    for message in t.inbox:
        t.state.setdefault("heard", []).append(message.body)
    if t.state.get("done"):
        return
    first = t.ask("How many?", schema={"type": "integer", "minimum": 1, "maximum": 9})
    second = t.ask(f"{first}, and which?", schema={"enum": ["red", "blue"]}, deadline=4, default="red")
    t.state["done"] = [first, second, t.round]
    t.send("clock", f"{first} {second}")
    t.record("answer", first)
"""

CLOCK = """
def turn(t):
    t.state["heard"] = t.state.get("heard", []) + [m.body for m in t.inbox]
    t.send("asker", str(t.round))
    if t.state["heard"]:
        t.finish(t.state["heard"])
    elif t.round < 3:
        t.wake_in(1)
"""


def asking(schedule: str = "rounds") -> World:
    return turnwise.World(
        name="asking",
        schedule=schedule,  # type: ignore[arg-type]
        agents={
            "asker": Agent(ASKER, start=True, grants=Grants(send=["clock"], ask=True)),
            "clock": Agent(CLOCK, start=True, grants=Grants(send=["asker"], finish=True)),
        },
    )


def until_asked(live: Live) -> None:
    """Play until somebody asks."""
    while not live.questions():
        assert live.step(), "nobody asks"


def until_waiting(live: Live) -> None:
    """Play until nothing is left to do but what people are asked."""
    until_asked(live)
    while live.step():
        pass


def answered(world: World, path: Path, *values: Any) -> str:
    """Play a world, whose questions are answered in order as soon as nothing else can happen; return the head."""
    with world.start(journal=path, workers=1) as live:
        for number, value in enumerate(values):
            until_asked(live) if number else until_waiting(live)
            assert live.answer(live.questions()[0].id, value)
        with live.result() as run:
            return run.head


@pytest.mark.parametrize("schedule", ["rounds", "sequential"])
def test_answers_from_python(schedule: str, tmp_path: Path) -> None:
    with asking(schedule).start(journal=tmp_path / "a.journal", workers=1) as live:
        until_waiting(live)
        assert live.step() is NoRound.WAITING
        (asked,) = live.questions()
        assert (asked.id, asked.agent, asked.text, asked.deadline) == (1, "asker", "How many?", None)
        assert "asker for an answer to question 1" in live.progress().waiting
        for wrong, why in ((0, "at least 1"), ("3", "whole number"), (True, "whole number"), (None, "whole number")):
            with pytest.raises(UsageError, match=why):
                live.answer(1, wrong)
        with pytest.raises(UsageError, match="no question 7"):
            live.answer(7, 1)
        assert live.answer(1, 3)
        assert not live.answer(1, 4)
        assert live.step()
        assert not live.answer(1, 5)
        (asked,) = live.questions()
        assert asked.text == "3, and which?"
        assert live.answer(2, "blue")
        with live.result() as run:
            assert (run.status, run.result) == ("finished", ["3 blue"])
            head = run.head
    replayed = turnwise.replay(tmp_path / "a.journal")
    assert replayed.difference is None
    assert replayed.head == head
    assert "2 answers of people were taken from the journal" in replayed.unproved
    assert turnwise.verify(tmp_path / "a.journal").difference is None


def test_a_deadline_passes_when_nothing_else_is_left_and_patience_is_over(tmp_path: Path) -> None:
    with asking().start(journal=tmp_path / "a.journal", workers=1) as live:
        until_waiting(live)
        live.answer(1, 3)
        with live.result() as run:
            assert run.result == ["3 red"]
    with asking().start(journal=tmp_path / "b.journal", workers=1, patience_s=None) as live:
        until_waiting(live)
        live.answer(1, 3)
        live.play()
        while not [asked for asked in live.questions() if asked.id == 2]:
            assert not live.wait(0.05)
        assert not live.wait(0.3)
        live.answer(2, "blue")
        with live.result() as run:
            assert run.result == ["3 blue"]


def test_an_answer_from_another_process_wakes_a_run_that_waits(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with asking().start(journal=path, workers=1, patience_s=None) as live:
        live.play()
        while not live.progress().questions:
            assert not live.wait(0.05)
        while not _left(path, 1, 3):
            assert not live.wait(0.05)  # what it asks is not on disk yet
        assert not turnwise.answer(path, 1, 4)
        with pytest.raises(UsageError, match="no question 9"):
            turnwise.answer(path, 9, 1)
        while not [asked for asked in live.questions() if asked.id == 2]:
            assert not live.wait(0.05)
        while not _left(path, 2, "blue"):
            assert not live.wait(0.05)
        with live.result() as run:
            assert run.result == ["3 blue"]
    assert not outside_box.box_path(path).exists()
    assert not turnwise.answer(path, 1, 3)
    assert turnwise.replay(path).difference is None


def _left(path: Path, question: int, value: Any) -> bool:
    try:
        return turnwise.answer(path, question, value)
    except UsageError:
        return False


def test_a_run_that_was_stopped_goes_on_with_the_answer(tmp_path: Path) -> None:
    expected = answered(asking(), tmp_path / "whole.journal", 3, "blue")
    path = tmp_path / "a.journal"
    with asking().start(journal=path, workers=1) as live:
        until_waiting(live)
    with turnwise.open(path) as run:
        assert run.status == "open"
        assert [(asked.id, asked.agent) for asked in run.questions] == [(1, "asker")]
    with pytest.raises(UsageError, match="at most 9"):
        turnwise.answer(path, 1, 10)
    assert turnwise.answer(path, 1, 3)
    assert not turnwise.answer(path, 1, 4)
    with turnwise.resume(path, workers=1) as live:
        assert live.step()
        assert live.answer(2, "blue")
        with live.result() as run:
            assert run.head == expected
            assert run.questions == []


def _play_and_wait(path: Path, ready: Any) -> None:
    with asking().start(journal=path, workers=1) as live:
        until_waiting(live)
        live.answer(1, 3)
        assert live.step()
        ready.set()
        time.sleep(60)


@pytest.mark.skipif(sys.platform != "linux", reason="kills a process")
def test_an_open_question_survives_kill_9(tmp_path: Path) -> None:
    expected = answered(asking(), tmp_path / "whole.journal", 3, "blue")
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    path = tmp_path / "a.journal"
    process = context.Process(target=_play_and_wait, args=(path, ready))
    process.start()
    assert ready.wait(60)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    with turnwise.resume(path, workers=1) as live:
        (asked,) = live.questions()
        assert (asked.id, asked.text) == (2, "3, and which?")
        live.answer(2, "blue")
        with live.result() as run:
            assert run.head == expected


def test_a_fork_repeats_the_answers_or_is_answered_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    expected = answered(asking(), path, 3, "blue")
    with turnwise.open(path) as run:
        rounds = [record.round for record in run.rounds]
    for at in (0, *rounds[:-1]):
        with turnwise.fork(path, at, journal=tmp_path / f"same-{at}.journal", workers=1).result() as run:
            assert run.head == expected, at
    at = next(record.round for record in _records(path) if record.parks)
    other = tmp_path / "other.journal"
    with turnwise.fork(path, at, answers={1: 7}, journal=other, workers=1) as live:
        until_waiting(live)  # the second question is another one, to which the old answer is none
        assert [asked.text for asked in live.questions()] == []
        with live.result() as run:
            assert run.result == ["7 red"]
            assert run.head != expected
    assert turnwise.replay(other).difference is None
    found = turnwise.diff(path, other)
    assert found.first is not None
    assert (found.first.agent, found.first.causes) == ("asker", ("outside",))
    assert ("right", at + 1, "answer to asker: 7") in found.changes
    with pytest.raises(UsageError, match="does not wait"):
        turnwise.fork(path, rounds[-2], answers={1: 7}, journal=tmp_path / "no.journal", workers=1).result()


def _records(path: Path) -> list[turnwise.RoundRecord]:
    with Journal.open(path) as journal:
        return list(journal.rounds.between())


def test_the_answer_is_a_cause(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    answered(asking(), path, 3, "blue")
    ended = next(r.round for r in _records(path) for turn in r.turns if turn.place == 0)
    cause = turnwise.why(path, "asker", ended, record="answer")
    found = [(one.agent, one.text) for _, one in cause.walk() if one.kind == "answer"]
    assert found == [("outside", "How many? → 3"), ("outside", '3, and which? → "blue"')]


def test_what_is_in_the_box_is_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with asking().start(journal=path, workers=1) as live:
        until_waiting(live)
        asked = live.questions()[0].asked
    box = outside_box.box_path(path)
    lines = [
        b"\xff\xfe",
        b"[" * 100_000,
        b"{}",
        b'{"question":1,"asked":"x","token":"t","value":3}',
        f'{{"question":1,"asked":"{asked}","token":"t","value":99}}'.encode(),
        f'{{"question":"1","asked":"{asked}","token":"t","value":4}}'.encode(),
        b"x" * 200_000,
        f'{{"question":1,"asked":"{asked}","token":"t","value":5}}'.encode(),
        f'{{"question":1,"asked":"{asked}","token":"u","value":6}}'.encode(),
    ]
    box.write_bytes(b"\n".join(lines) + b'\n{"question":1')
    with turnwise.resume(path, workers=1) as live:
        assert live.step()
        assert [one.text for one in live.questions()] == ["5, and which?"]


def test_an_agent_with_mail_in_the_middle_of_a_turn(tmp_path: Path) -> None:
    world = turnwise.World(
        name="mail",
        agents={
            "asker": Agent(ASKER, grants=Grants(send=["clock"], ask=True)),
            "clock": Agent("def turn(t):\n    pass"),
        },
        messages=[InitialMessage("asker", "first")],
    )
    path = tmp_path / "a.journal"
    with world.start(journal=path, workers=1) as live:
        until_waiting(live)
        live.send("asker", "second")
        assert live.step()  # it is kept, and nobody moves
        assert live.step() is NoRound.WAITING
        live.answer(1, 1)
        until_asked(live)
        live.answer(2, "red")
        with live.result() as run:
            assert json.loads(run.state("asker"))["heard"] == ["first", "second"]
    assert turnwise.replay(path).difference is None


def test_a_sweep_answers_nothing() -> None:
    (row,) = turnwise.sweep(asking(), seeds=[1], workers=1).runs
    assert row.status == "error"
    assert "nobody answers in a sweep" in (row.message or "")


@pytest.mark.parametrize("schedule", ["rounds", "sequential"])
def test_a_turn_that_waits_is_in_a_snapshot(schedule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resuming reads a snapshot, and what the turn has asked, been answered and been sent before it."""
    monkeypatch.setattr("turnwise.core.snapshot.TURNS_MIN", 16)
    code = 'def turn(t):\n    t.state = [t.ask("a?"), t.ask("b?"), [m.body for m in t.inbox]]\n'
    ticks = constant({"state": "", "wake_in": 1, "send": [{"to": "asker", "body": "tick"}]})
    world = turnwise.World(
        name="long",
        schedule=schedule,  # type: ignore[arg-type]
        rounds_max=80,
        agents={
            "asker": Agent(code, start=True, grants=Grants(ask=True)),
            "clock": Agent(ticks, start=True, grants=Grants(send=["asker"])),
        },
    )
    path = tmp_path / "a.journal"
    with world.start(journal=path, workers=1) as live:
        until_asked(live)
        assert live.answer(1, "first")
        for _ in range(45):
            live.step()
    with Journal.open(path) as journal:
        snapshot = journal.snapshots.latest(journal.rounds.last_round)
        assert snapshot is not None
        assert [place for place, _ in snapshot.waiting] == [0]
        assert snapshot.question_next == 3
        journal.machine.check_snapshots()
        (asked,) = journal.machine.at().questions()
        assert (asked.id, asked.text) == (2, "b?")
    with turnwise.resume(path, workers=1) as live:
        assert live.answer(2, "second")
        assert live.step()
        with live.result() as run:
            assert [agent.name for agent in run.agents] == ["asker", "clock"]
            ended = next(turn for turn in run.turns if turn.agent == "asker")
            assert ended.output is not None
            assert json.loads(ended.output.state) == ["first", "second", []]
    replayed = turnwise.replay(path)
    assert replayed.difference is None
    assert replayed.turns > 40
