"""Real processes, killed at random moments: how each is done, for the long tests and, a few times, for the others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

import turnwise
from tests.orchestrator.worlds import lively
from turnwise import Agent, Grants, Model, World
from turnwise.errors import EnvironmentFailure
from turnwise.orchestrator import assembly
from turnwise.orchestrator.live import Live
from turnwise.orchestrator.settings import Settings

ROOT = Path(__file__).parents[2]
GONE_S_MAX = 60.0
ASKS = """
def turn(t):
    t.state["said"] = t.generate("m", f"Once {t.turn}", tokens_max=4).text
    t.wake_in(1)
"""


def asking(seed: int) -> World:
    """Agents that ask the model which comes along."""
    agents = {"a": Agent(ASKS, count=2, start=True, grants=Grants(generate=["m"]))}
    return World(name="asking", seed=seed, rounds_max=8, models={"m": Model("builtin:demo")}, agents=agents)


def playing(seed: int) -> World:
    return lively(seed=seed, rounds_max=40)


WORLDS: dict[str, Callable[[int], World]] = {"asking": asking, "playing": playing}


def descendants(pid: int) -> set[int]:
    """Processes that a process has started, and those that they have."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue  # it has ended meanwhile
    found, more = set[int](), {pid}
    while more:
        more = {child for child, parent in parents.items() if parent in more} - found
        found |= more
    return found


def wait_gone(pids: set[int]) -> None:
    """Wait until none of these processes is left, zombies aside."""
    end_s = time.monotonic() + GONE_S_MAX
    left = pids
    while left := {pid for pid in left if alive(pid)}:
        assert time.monotonic() < end_s, f"processes are left: {left}"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def names_in_memory() -> set[str]:
    """Names of shared memory that could be ours."""
    names = {path.name for path in Path("/dev/shm").iterdir()}
    return {name for name in names if "turnwise" in name or name.startswith(("psm_", "mp-"))}


def head_of(name: str, seed: int, folder: Path) -> str:
    """The head of the run that nothing disturbs."""
    path = folder / f"{name}-{seed}-whole.journal"
    with turnwise.run(WORLDS[name](seed), journal=path, workers=2) as run:
        return run.head


def blows(name: str, kind: str, count: int, folder: Path, seed: int, worlds: int = 3) -> None:
    """Kill or stop workers, or kill the inference host, `count` times in all, over runs of so many worlds."""
    chance = Random(seed)
    expected: dict[int, str] = {}
    struck = run_number = 0
    while struck < count:
        run_number += 1
        world_seed = chance.randrange(worlds)
        if world_seed not in expected:
            expected[world_seed] = head_of(name, world_seed, folder)
        path = folder / f"{kind}-{run_number}.journal"
        settings = Settings(workers=2, transport=chance.choice(["auto", "portable"]), deadline_ms=400)
        others = descendants(os.getpid())  # of tests before, such as a server that several of them ask
        with Live(path, partial(assembly.begin, WORLDS[name](world_seed), path, settings)) as live:
            while live.step():
                session = live._session
                assert session is not None
                pids = session._driver.sandboxes.pids if kind != "host" else [session._host.pid]  # type: ignore
                struck += strike(pids, signal.SIGSTOP if kind == "stop" else signal.SIGKILL, chance)
            started = descendants(os.getpid()) - others
        wait_gone(started)
        with turnwise.open(path) as run:
            assert run.head == expected[world_seed], f"{kind}, seed {seed}, run {run_number}"
        path.unlink()


def strike(pids: list[int | None], blow: signal.Signals, chance: Random) -> int:
    there = [pid for pid in pids if pid is not None]
    if not there or chance.random() < 0.5:
        return 0
    try:
        os.kill(chance.choice(there), blow)
    except ProcessLookupError:
        return 0
    return 1


PLAY = """
import os, sys, turnwise
from tests.long.kills import WORLDS
name, seed, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
resumed = os.path.exists(path)
with turnwise.resume(path) if resumed else turnwise.start(WORLDS[name](seed), journal=path) as live:
    live.step()
    print("playing", flush=True)
    live.result().close()
"""


def orchestrator(name: str, everything: bool, count: int, folder: Path, seed: int) -> None:
    """Kill the orchestrator, alone or with all that it has started, `count` times; then let the run end."""
    chance = Random(seed)
    expected = head_of(name, 1, folder)
    struck = attempt = 0
    while struck < count:
        attempt += 1
        path = folder / f"orchestrator-{attempt}.journal"
        for _ in range(chance.randrange(1, 4)):
            command = [sys.executable, "-c", PLAY, name, "1", str(path)]
            paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
            with subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": paths}
            ) as process:
                assert process.stdout is not None
                process.stdout.readline()
                time.sleep(chance.random() ** 2 * 0.3)  # the moment is what is tried, and no outcome depends on it
                started = descendants(process.pid)
                for pid in [process.pid, *(started if everything else ())]:
                    try:
                        os.kill(pid, signal.SIGKILL)
                        struck += pid == process.pid
                    except ProcessLookupError:
                        continue
            wait_gone(started)
            if ended(path):
                break
        over = ended(path)
        with turnwise.open(path) if over else turnwise.resume(path, workers=2).result() as run:
            assert run.head == expected, f"orchestrator, seed {seed}, attempt {attempt}"
        if not over:  # who was killed between the end and closing leaves the log, which nobody opens to write again
            assert sorted(file.name for file in folder.glob(f"{path.name}*")) == [path.name]
        path.unlink()


def ended(path: Path) -> bool:
    with turnwise.open(path) as run:
        return run.status != "open"


FULL = """
import resource, signal, sys, turnwise
from tests.long.kills import WORLDS
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with turnwise.start(WORLDS["playing"](1), journal=sys.argv[1], workers=1) as live:
    live.step()
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    try:
        live.result()
    except turnwise.EnvironmentFailure as failure:
        sys.exit(7)
"""


def full_disk(count: int, folder: Path, seed: int) -> None:
    """Let files grow no further from some size on, `count` times; then go on with the run."""
    chance = Random(seed)
    expected = head_of("playing", 1, folder)
    struck = 0
    for attempt in range(10 * count):
        path = folder / f"full-{attempt}.journal"
        limit = 4096 * chance.randrange(20, 60)
        paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
        done = subprocess.run(
            [sys.executable, "-c", FULL, str(path), str(limit)],
            env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode in (0, 7), done.stderr
        struck += done.returncode == 7
        with turnwise.open(path) if ended(path) else turnwise.resume(path, workers=1).result() as run:
            assert run.head == expected, f"full disk, seed {seed}, attempt {attempt}"
        path.unlink()
        if struck >= count:
            return
    raise AssertionError(f"the disk was full {struck} times only")


def read_only(folder: Path) -> None:
    """Make a file system read-only under a journal that is not finished: it can be read, and resumed later."""
    expected = head_of("playing", 1, folder)
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "turnwise-test", str(disk)], check=True)
    try:
        path = disk / "run.journal"
        with WORLDS["playing"](1).start(journal=path) as live:
            for _ in range(5):
                live.step()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with turnwise.open(path) as run:
            assert len(run.rounds) == 5
        try:
            turnwise.resume(path).result()
        except (turnwise.JournalError, EnvironmentFailure) as error:
            assert str(path) in str(error)
        else:
            raise AssertionError("a run went on where nothing can be written")
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        with turnwise.resume(path).result() as run:
            assert run.head == expected
    finally:
        subprocess.run(["umount", str(disk)], check=True)
