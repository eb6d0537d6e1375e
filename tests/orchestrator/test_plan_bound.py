"""Whole runs with models whose bits depend, for real, on what runs beside what."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest

import turnwise
from tests.inference import toy
from turnwise import Agent, Grants, Model, Run, World
from turnwise.core.plan import Schedule
from turnwise.errors import ModelError
from turnwise.history.reissue import reissue
from turnwise.orchestrator import assembly, parts
from turnwise.orchestrator.live import Live
from turnwise.orchestrator.settings import Settings
from turnwise.sharedmem import Transport

TALKER = """
from turnwise_guest import Turn

def turn(t: Turn) -> None:
    number = int(t.self_name[-1])
    said = [t.generate("model", "a story of " + t.self_name + "".join(t.state.get("said", []))[-60:], **OPTIONS).text]
    for step in range(number % 3):
        if number % 2:
            said.append(t.generate("steady", said[-1][-20:] + "x", **OPTIONS).text)
        answers = t.generate_all("model", [said[-1][-20:] + word for word in ("b", "cc", "ddd")[: number]], **OPTIONS)
        said += [answer.text for answer in answers]
    t.state["said"] = said
    if t.turn < 3:
        t.wake_in(1)

OPTIONS = {"tokens_max": 12, "temperature": 1.0}
"""


def talkers(model: Path, steady: Path, schedule: Schedule = "rounds", *, batching: str | None = "free") -> World:
    return turnwise.World(
        name="talkers",
        seed=11,
        schedule=schedule,
        models={
            "model": Model(model, provider="cpu", batching=batching),  # type: ignore[arg-type]
            "steady": Model(steady, provider="cpu"),
        },
        agents={"talker": Agent(TALKER, count=5, start=True, grants=Grants(generate=["model", "steady"]))},
    )


@pytest.fixture(scope="module")
def mixing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.write_mixing_folder(tmp_path_factory.mktemp("mixing") / "model")


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.write_attention_folder(tmp_path_factory.mktemp("steady") / "model")


@pytest.fixture(scope="module")
def played(mixing: Path, steady: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The world played once, undisturbed."""
    return turnwise.run(talkers(mixing, steady), journal=tmp_path_factory.mktemp("played") / "a.journal", workers=2)


@pytest.mark.parametrize(
    ("schedule", "parts"),
    [("rounds", [(1, "auto"), (2, "portable"), (4, "auto")]), ("sequential", [(1, "portable"), (4, "auto")])],
)
def test_workers_and_transports_do_not_show(
    mixing: Path, steady: Path, schedule: Schedule, parts: list[tuple[int, Transport]], tmp_path: Path
) -> None:
    found = set()
    for workers, transport in parts:
        path = tmp_path / f"{workers}.journal"
        with turnwise.run(
            talkers(mixing, steady, schedule),
            journal=path,
            workers=workers,
            transport=transport,
        ) as run:
            assert [turn.failure for turn in run.turns] == [None] * 15
            assert run.numeric_classes == {"model": "plan-bound", "steady": "batch-invariant"}
            assert run.promise == "plan-bound"
            waves = [(record.round, record.waves) for record in run.rounds]
            assert all(of for _, of in waves)
            assert {wave.model for _, of in waves for wave in of} == {"model"}
            assert [run.waves(round_) for round_, _ in waves] == [of for _, of in waves]
            found.add((run.head, run.execution, str(waves)))
    assert len(found) == 1
    replayed = turnwise.replay(tmp_path / "1.journal")
    assert replayed.difference is None


def test_without_waves_the_number_of_workers_shows(
    mixing: Path, steady: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same world, whose model is asked as requests come: what waves are there for."""
    monkeypatch.setattr(parts, "plan_bound", lambda models: [])
    heads: set[str] = set()
    for attempt in range(20):
        path = tmp_path / f"{attempt}.journal"
        with turnwise.run(talkers(mixing, steady), journal=path, workers=1 + attempt % 4) as run:
            assert not any(record.waves for record in run.rounds)
            heads.add(run.head)
        if len(heads) > 1:
            return
    pytest.fail("20 runs came to one head")


def test_a_rule_that_makes_bits_independent_needs_no_waves(mixing: Path, steady: Path, tmp_path: Path) -> None:
    with turnwise.start(talkers(mixing, steady, batching=None), journal=tmp_path / "a.journal") as live:
        run = live.result()
        assert live.notices == []
    with run:
        assert run.promise == "batch-invariant"
        assert not any(record.waves for record in run.rounds)


def test_a_host_killed_in_a_wave_does_not_show(mixing: Path, steady: Path, played: Run, tmp_path: Path) -> None:
    world = talkers(mixing, steady)
    path = tmp_path / "killed.journal"
    with Live(path, partial(assembly.begin, world, path, Settings(workers=2))) as live:
        live.step()
        session = live._session
        assert session is not None
        assert session._host is not None
        host, killed, done = session._host.inference, 0, threading.Event()

        def kill() -> None:
            nonlocal killed
            seen = -1
            while not done.wait(0.002) and killed < 3:
                tokens = host.statistics().tokens
                if host.pid is not None and host._open.waves and tokens != seen:
                    seen = tokens
                    os.kill(host.pid, signal.SIGKILL)
                    killed += 1

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            with live.result() as run:
                assert (run.head, run.execution) == (played.head, played.execution)
        finally:
            done.set()
            killer.join()
    assert killed > 0


KILLED = """
import os, signal, sys, turnwise
from pathlib import Path
from tests.orchestrator.test_plan_bound import talkers
from turnwise.inference.host.host import InferenceHost

submit_wave = InferenceHost.submit_wave

def last_act(host, wave):
    submit_wave(host, wave)
    os.kill(os.getpid(), signal.SIGKILL)

with turnwise.start(talkers(Path(sys.argv[1]), Path(sys.argv[2])), journal=sys.argv[3], workers=2) as live:
    live.step()
    InferenceHost.submit_wave = last_act
    live.result()
"""


def test_an_orchestrator_killed_in_a_wave_is_resumed_to_the_same_head(
    mixing: Path, steady: Path, played: Run, tmp_path: Path
) -> None:
    path = tmp_path / "killed.journal"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(mixing), str(steady), str(path)], capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    with turnwise.open(path) as dead:
        assert (dead.status, len(dead.rounds)) == ("open", 1)
    with turnwise.resume(path, workers=1) as live:
        resumed = live.result()
        assert [notice for notice in live.notices if "plan-bound" in notice]
        assert not [notice for notice in live.notices if "interruption" in notice]
    with resumed:
        assert (resumed.head, resumed.execution) == (played.head, played.execution)
        assert list(resumed.rounds) == list(played.rounds)


def test_a_recorded_wave_that_is_issued_again_gives_the_same_bits(played: Run) -> None:
    waves = [(record.round, wave) for record in played.rounds for wave in record.waves]
    assert len(waves) > 6
    for round_, wave in (waves[0], waves[2], waves[-1]):
        [found] = reissue(played.path, round_, wave.wave)
        assert found.difference is None
        assert (found.model, found.requests, found.plan.text()) == ("model", len(wave.requests), wave.plan)


def test_a_wave_that_was_not_what_is_recorded_is_found(played: Run, tmp_path: Path) -> None:
    """A journal is given plans that never were."""
    first = played.waves(1)[0]
    path = changed(played.path, tmp_path / "plan.journal", '"rows_max":5', '"rows_max":2')
    [found] = reissue(path, 1, 1)
    assert found.difference is not None
    assert (found.difference.round, found.difference.what) == (1, "effect 0: reply")
    assert found.requests <= len(first.requests)
    path = changed(played.path, tmp_path / "threads.journal", '"threads":1', '"threads":7')
    with pytest.raises(turnwise.EnvironmentFailure, match="it ran on 7 threads"):
        reissue(path, 1, 1)
    path = changed(played.path, tmp_path / "none.journal", '"threads":1', '"threads":0')
    with pytest.raises(turnwise.JournalError, match="the plan of a wave of model cannot be read"):
        reissue(path, 1, 1)
    with pytest.raises(turnwise.JournalError, match="round 1 has no wave 99"):
        reissue(path, 1, 99)


def changed(source: Path, target: Path, old: str, new: str) -> Path:
    """A copy of a journal in which plans are others."""
    shutil.copyfile(source, target)
    with closing(sqlite3.connect(target, isolation_level=None)) as database:
        assert database.execute("SELECT typeof(plan) FROM waves GROUP BY 1").fetchall() == [("integer",)]
        for number, plan in database.execute(
            "SELECT id, data FROM blobs WHERE id IN (SELECT plan FROM waves)"
        ).fetchall():
            other = plan.replace(old.encode(), new.encode())
            database.execute(
                "UPDATE blobs SET data = ?, size = ?, hash = ? WHERE id = ?",
                (other, len(other), sha256(other).digest(), number),
            )
    return target


def test_a_run_that_goes_on_otherwise_says_so(
    mixing: Path, steady: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = assembly.specs_of
    with turnwise.start(talkers(mixing, steady), journal=tmp_path / "a.journal") as live:
        live.step()
    path = changed(tmp_path / "a.journal", tmp_path / "b.journal", '"threads":1', '"threads":7')
    with turnwise.resume(path) as live:
        live.step()
        [line] = [line for line in live.notices if "without the interruption" in line]
        assert line.startswith("model was plan-bound with 'free' batches on 7 threads, and is plan-bound")
    monkeypatch.setattr(
        assembly, "specs_of", lambda file, paths: [replace(spec, batching=None) for spec in of(file, paths)]
    )
    with turnwise.resume(path) as live:
        live.step()
        assert any("is batch-invariant with 'single' batches on 1" in line for line in live.notices)


def test_int4_weights_at_a_low_accuracy_level_in_batches_as_they_come(
    in_layout: Callable[[str], Path], steady: Path, tmp_path: Path
) -> None:
    """A real model of a form that is not independent of its batch: faster so, and the same bits every time."""
    model = in_layout("genai-int4-acc1")
    runs = [
        turnwise.run(talkers(model, steady), journal=tmp_path / f"{workers}.journal", workers=workers)
        for workers in (1, 4)
    ]
    assert runs[0].promise == "plan-bound"
    assert len({(run.head, run.execution) for run in runs}) == 1
    first = runs[0].waves(1)
    for run in runs:
        run.close()
    assert reissue(tmp_path / "4.journal", 1, first[0].wave)[0].difference is None
    with turnwise.run(talkers(model, steady, batching=None), journal=tmp_path / "even.journal") as even:
        assert even.promise == "batch-invariant"


def test_a_model_that_draws_random_numbers_is_refused(steady: Path, tmp_path: Path) -> None:
    world = talkers(toy.write_chance_folder(tmp_path / "chance"), steady, batching=None)
    with pytest.raises(ModelError, match="draws random numbers"):
        turnwise.run(world, journal=tmp_path / "a.journal")


def test_a_model_that_is_never_the_same_promises_nothing(
    mixing: Path, steady: Path, tmp_path: Path, own_cache: Path
) -> None:
    """Class `none`: people are told, and the run can be replayed. Waves would be of no use.

    No graph that loads on the CPU is of that class, so what was observed of these is written over.
    """
    world = talkers(mixing, steady, batching=None)
    with turnwise.run(world, journal=tmp_path / "before.journal") as run:
        assert run.promise == "batch-invariant"
    observed = own_cache / "self-tests.json"
    text = observed.read_text()
    assert text.count('"batch-invariant"') == 2
    observed.write_text(text.replace('"batch-invariant"', '"none"'))
    with turnwise.start(world, journal=tmp_path / "a.journal") as live, live.result() as run:
        told = [notice for notice in live.notices if "nothing is promised" in notice]
        assert told
        assert told == live.notices
        assert run.numeric_classes == {"model": "none", "steady": "none"}
        assert run.promise == "none"
        assert not any(record.waves for record in run.rounds)
    assert turnwise.replay(tmp_path / "a.journal").difference is None
