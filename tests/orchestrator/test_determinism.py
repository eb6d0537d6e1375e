"""The same head, whatever happens on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import turnwise
from tests.orchestrator.worlds import lively, talkers
from turnwise import Run, World
from turnwise.orchestrator import assembly
from turnwise.orchestrator.live import Live
from turnwise.orchestrator.settings import Settings
from turnwise.sharedmem import Transport

WORLDS: dict[str, Callable[[], World]] = {
    "core modules": lively,
    "core modules, sequential": partial(lively, schedule="sequential", rounds_max=60),
    "Python": talkers,
}


PARTS: list[tuple[int, Transport]] = [(1, "auto"), (2, "portable"), (4, "auto"), (4, "portable")]


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Each world played undisturbed."""
    folder = tmp_path_factory.mktemp("wholes")
    return {
        name: turnwise.run(make(), journal=folder / f"{number}.journal", workers=1)
        for number, (name, make) in enumerate(WORLDS.items())
    }


def head(world: World, path: Path, **options: object) -> str:
    with turnwise.run(world, journal=path, **options) as run:  # type: ignore[arg-type]
        assert len(run.turns) > 10
        assert len(run.messages) > 0
        return run.head


@pytest.mark.parametrize("name", WORLDS)
def test_workers_and_transports_do_not_show(name: str, tmp_path: Path) -> None:
    heads = {
        (workers, transport): head(
            WORLDS[name](), tmp_path / f"{workers}-{transport}.journal", workers=workers, transport=transport
        )
        for workers, transport in PARTS
    }
    assert len(set(heads.values())) == 1, heads


def test_execution_digests_are_equal_on_one_build(wholes: dict[str, Run], tmp_path: Path) -> None:
    with turnwise.run(talkers(), journal=tmp_path / "3.journal", workers=3) as run:
        assert run.execution == wholes["Python"].execution


PROGRAM = """
import sys, turnwise
from tests.orchestrator.worlds import lively, talkers
for name, world in (("lively", lively()), ("talkers", talkers())):
    print(turnwise.run(world, journal=f"{sys.argv[1]}/{name}.journal", workers=2).head)
"""


def test_hash_seeds_do_not_show(tmp_path: Path) -> None:
    printed = set()
    for hash_seed in ("0", "random"):
        folder = tmp_path / hash_seed
        folder.mkdir()
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(folder)], env=environment, capture_output=True, text=True, check=True
        )
        printed.add(done.stdout)
    assert len(printed) == 1


def begun(world: World, path: Path, settings: Settings) -> Live:
    return Live(path, partial(assembly.begin, world, path, settings))


def worker_pids(live: Live) -> list[int]:
    session = live._session
    assert session is not None
    pids: list[int] = session._driver.sandboxes.pids  # type: ignore[union-attr]
    return pids


@pytest.mark.parametrize("name", ["core modules", "Python"])
def test_workers_killed_in_mid_turn_do_not_show(name: str, wholes: dict[str, Run], tmp_path: Path) -> None:
    world = WORLDS[name]()
    expected = wholes[name].head
    with begun(world, tmp_path / "killed.journal", Settings(workers=2)) as live:
        live.step()
        done = threading.Event()
        killed = 0

        def kill() -> None:
            """Kill a worker whenever turns have come since the last time."""
            nonlocal killed
            seen = -1
            while not done.wait(0.01) and killed < 6:
                turns = live.progress().turns
                if turns > seen:
                    seen = turns
                    for pid in worker_pids(live)[killed % 2 :][:1]:
                        os.kill(pid, signal.SIGKILL)
                        killed += 1

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            with live.result() as run:
                assert run.head == expected
        finally:
            done.set()
            killer.join()
    assert killed > 0


def test_a_worker_stopped_for_longer_than_its_deadline_does_not_show(wholes: dict[str, Run], tmp_path: Path) -> None:
    world = talkers()
    expected = wholes["Python"].head
    with begun(world, tmp_path / "stopped.journal", Settings(workers=2, deadline_ms=3_000)) as live:
        live.step()
        for pid in worker_pids(live):
            os.kill(pid, signal.SIGSTOP)
        with live.result() as run:
            assert run.head == expected


KILLED = """
import os, signal, sys, turnwise
from tests.orchestrator.worlds import lively, talkers
world = {"lively": lively, "talkers": talkers}[sys.argv[1]]()
with turnwise.start(world, journal=sys.argv[2], workers=2) as live:
    live._begun.result()
    for _ in range(int(sys.argv[3])):
        live.step()
    live.play()  # dies while the next rounds are under way
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    ("world", "rounds"), [("lively", 0), ("lively", 1), ("lively", 5), ("talkers", 0), ("talkers", 2), ("talkers", 9)]
)
def test_an_orchestrator_killed_at_any_round_is_resumed_to_the_same_head(
    world: str, rounds: int, wholes: dict[str, Run], tmp_path: Path
) -> None:
    whole = wholes[{"lively": "core modules", "talkers": "Python"}[world]]
    path = tmp_path / "killed.journal"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, world, str(path), str(rounds)], capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    with turnwise.open(path) as dead:
        assert dead.status == "open"
        assert rounds <= len(dead.rounds) < len(whole.rounds)
    with turnwise.resume(path, workers=1).result() as resumed:
        assert resumed.head == whole.head
        assert resumed.execution == whole.execution
        assert (resumed.status, resumed.result) == (whole.status, whole.result)
        assert list(resumed.rounds) == list(whole.rounds)


def test_other_versions_show_in_the_execution_digest_and_not_in_the_head(
    wholes: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.journal"
    with lively().start(journal=path) as live:
        for _ in range(3):
            live.step()
    whole = wholes["core modules"]
    versions_of = assembly.versions_of
    monkeypatch.setattr(
        assembly, "versions_of", lambda models: versions_of(models).replace('"turnwise":"', '"turnwise":"9')
    )
    with turnwise.resume(path).result() as run:
        assert run.head == whole.head
        assert run.execution != whole.execution


def test_another_seed_shows(tmp_path: Path) -> None:
    assert head(lively(seed=1), tmp_path / "1.journal") != head(lively(seed=2), tmp_path / "2.journal")
