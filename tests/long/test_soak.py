"""Runs that are disturbed without end: `pytest -m soak tests/long`. Minutes: TURNWISE_SOAK_SECONDS (default 240).

Every run's world, and what is done to it, comes from a seed; a failure prints the seed, and TURNWISE_SOAK_SEED repeats
it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from itertools import count
from pathlib import Path
from random import Random

import pytest

import turnwise
from tests.orchestrator.worlds import lively, talkers
from turnwise import World
from turnwise.orchestrator import assembly
from turnwise.orchestrator.live import Live
from turnwise.orchestrator.settings import Settings

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

WORLDS = ("lively", "sequential", "talkers")


def world_of(name: str, seed: int) -> World:
    if name == "talkers":
        return talkers(seed=seed)
    return lively(seed=seed, rounds_max=60, schedule="sequential" if name == "sequential" else "rounds")


PLAY = """
import os, signal, sys, threading, turnwise
from tests.long.test_soak import world_of
name, seed, path, after = sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
live = turnwise.resume(path) if os.path.exists(path) else turnwise.start(world_of(name, seed), journal=path)
live._begun.result()
live.play()
live.wait(after)
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_and_resumed(name: str, seed: int, path: Path, chance: Random) -> str:
    """Kill the orchestrator again and again until the run has ended; its head."""
    for _ in range(chance.randrange(1, 4)):
        after = str(chance.uniform(0.0, 0.25))
        subprocess.run(
            [sys.executable, "-c", PLAY, name, str(seed), str(path), after], capture_output=True, check=False
        )
        with turnwise.open(path) as run:
            if run.status != "open":
                return run.head
    with turnwise.resume(path, workers=chance.choice([1, 2, 3])).result() as run:
        return run.head


def workers_killed(name: str, seed: int, path: Path, chance: Random) -> str:
    """Kill or stop workers while the run goes on; its head."""
    settings = Settings(
        workers=chance.choice([1, 2, 3]), transport=chance.choice(["auto", "portable"]), deadline_ms=500
    )
    with Live(path, partial(assembly.begin, world_of(name, seed), path, settings)) as live:
        live.step()
        live.play()
        seen, blows = -1, 0
        while not live.wait(0.01) and blows < 10:
            turns = live.progress().turns
            if turns <= seen:
                continue
            seen = turns
            session = live._session
            assert session is not None
            pids: list[int] = session._driver.sandboxes.pids  # type: ignore[union-attr]
            if pids and chance.random() < 0.5:
                os.kill(chance.choice(pids), chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP]))
                blows += 1
        with live.result() as run:
            return run.head


def test_soak(tmp_path: Path) -> None:
    deadline = time.monotonic() + float(os.environ.get("TURNWISE_SOAK_SECONDS", "240"))
    first = os.environ.get("TURNWISE_SOAK_SEED")
    played = 0
    for seed in count(int(first or "1000")):
        chance = Random(seed)
        name = chance.choice(WORLDS)
        disturb = chance.choice([killed_and_resumed, workers_killed])
        print(f"TURNWISE_SOAK_SEED={seed}: {name}, {disturb.__name__}", flush=True)
        whole = tmp_path / f"{seed}-whole.journal"
        with turnwise.run(world_of(name, seed), journal=whole, workers=2) as run:
            expected = run.head
        found = disturb(name, seed, tmp_path / f"{seed}.journal", chance)
        assert found == expected, f"repeat with: TURNWISE_SOAK_SEED={seed} pytest -m soak tests/long -s"
        assert turnwise.replay(tmp_path / f"{seed}.journal").difference is None
        for file in tmp_path.iterdir():
            file.unlink()
        played += 1
        if first or time.monotonic() > deadline:
            break
    print(f"{played} runs")
    assert played > 0
