"""Calls of tools: what one costs beside asking its server directly, what agents cost that wait, and many calls.

    python benchmarks/bench_tools.py [--calls N] [--agents N] [--repeats N]

- A call in a run, with its two small transactions, beside one at the desk alone (the process of its server, with the
  checks of arguments and results), beside the function itself.
- A world in which agents wait for calls that do not end, beside the same world without them: time of a round.
- Calls of many agents at the same time, in calls a second. A server counts them: none may be lost, none made twice.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import turnwise
from turnwise import Agent, Grants, Tools, World
from turnwise.tools.desk import ToolDesk
from turnwise.tools.server_settings import ServerSettings

TOOLS = '''
import threading
from pathlib import Path

NOTED = open(Path(__file__).with_name("noted"), "a")
LOCK = threading.Lock()

def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b

def note(what: str) -> str:
    """Note something."""
    with LOCK:
        NOTED.write(what + "\\n")
        NOTED.flush()
    return what

async def never() -> None:
    """Wait for as long as it takes."""
    import asyncio
    await asyncio.Event().wait()
'''
CALLER = """
def turn(t):
    for n in range(t.args["calls"]):
        assert t.call("own.add", {"a": n, "b": 1}).data == n + 1
    t.finish()
"""
NOTHING = """
def turn(t):
    t.finish()
"""
WAITER = """
def turn(t):
    t.call("own.never")
"""
BUSY = """
def turn(t):
    t.state = (t.state or 0) + 1
    if t.state < t.args["rounds"]:
        t.wake_in(1)
    else:
        t.finish()
"""
MANY = """
def turn(t):
    found = t.call_all([("own.note", {"what": f"{t.self_name}/{t.turn}/{n}"}) for n in range(t.args["calls"])])
    assert len(found) == t.args["calls"]
    t.state = "done"
"""


def folder_with(text: str, folder: Path) -> Path:
    (folder / "own.py").write_text(TOOLS)
    (folder / "agent.py").write_text(text)
    return folder


def played_s(world: World, folder: Path) -> float:
    """Play a world; return the seconds between the first round and the end."""
    journal = folder / f"{time.monotonic_ns()}.journal"
    with turnwise.start(world, journal=journal, workers=1, telemetry=False) as live:
        live.progress()
        while live.progress().phase == "starting":
            time.sleep(0.01)
        began = time.perf_counter()
        live.play()
        live.wait()
        took = time.perf_counter() - began
        with live.result() as run:
            assert not run.failures, run.failures[0]
    return took


def measured(name: str, repeats: int, unit: str, measure: Callable[[], float]) -> float:
    found = sorted(measure() for _ in range(repeats))
    middle = statistics.median(found)
    print(f"{name:<60} {middle:10.3f} {unit}   ({found[0]:.3f} to {found[-1]:.3f})", flush=True)
    return middle


def calling(folder: Path, source: str, calls: int) -> World:
    return World(
        "bench",
        tools={"own": Tools("python", {"path": "own.py"})},
        agents={
            "agent": Agent(
                source,
                args={"calls": calls},
                start=True,
                effects_max=100_000,
                fuel=10_000_000_000,
                grants=Grants(call=["own"], finish=True),
                effects_mib=128,
            )
        },
        park_after_ms=60_000,
        folder=folder,
    )


def at_the_desk_ms(folder: Path, calls: int) -> float:
    async def run() -> float:
        desk = ToolDesk([ServerSettings("own", "python", {"path": "own.py"}, folder)])
        await desk.start()
        try:
            began = time.perf_counter()
            for n in range(calls):
                outcome = await desk.call("own", "add", json.dumps({"a": n, "b": 1}))
                assert json.loads(outcome)["ok"]["data"] == n + 1
            return (time.perf_counter() - began) / calls * 1_000
        finally:
            await desk.close()

    return asyncio.run(run())


def waiting(folder: Path, agents: int, rounds: int) -> World:
    (folder / "waiter.py").write_text(WAITER)
    (folder / "busy.py").write_text(BUSY)
    return World(
        "waiting",
        tools={"own": Tools("python", {"path": "own.py"}, calls_at_once=1_000, seconds_max=3_600)},
        agents={
            "waiter": Agent("waiter.py", count=agents, start=True, grants=Grants(call=["own"])),
            "busy": Agent("busy.py", args={"rounds": rounds}, start=True, grants=Grants(finish=True)),
        },
        park_after_ms=0,
        folder=folder,
    )


def many(folder: Path, agents: int, calls: int) -> World:
    return World(
        "many",
        tools={"own": Tools("python", {"path": "own.py"}, calls_at_once=64)},
        agents={
            "agent": Agent(
                "agent.py",
                count=agents,
                args={"calls": calls},
                start=True,
                effects_max=10_000,
                grants=Grants(call=["own"]),
                effects_mib=128,
            )
        },
        park_after_ms=600_000,
        folder=folder,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--agents", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    calls, agents, repeats = options.calls, options.agents, options.repeats
    with tempfile.TemporaryDirectory() as name:
        folder = folder_with(CALLER, Path(name))
        (folder / "nothing.py").write_text(NOTHING)
        desk = measured("a call at the desk alone", repeats, "ms", lambda: at_the_desk_ms(folder, calls))
        one = calling(folder, "agent.py", 1)
        several = calling(folder, "agent.py", 1 + calls)

        def call_ms() -> float:
            return (played_s(several, folder) - played_s(one, folder)) / calls * 1_000

        inside = measured("a call in a run, its turn executed again included", repeats, "ms", call_ms)
        print(f"{'a call in a run beside its server asked directly':<60} {inside - desk:10.3f} ms")

        rounds = 500
        without = waiting(folder, 0, rounds)
        waits = waiting(folder, agents, rounds)
        alone = measured(
            "a round without waiting agents", repeats, "ms", lambda: played_s(without, folder) / rounds * 1e3
        )
        beside = measured(
            f"a round beside {agents} that wait", repeats, "ms", lambda: played_s(waits, folder) / rounds * 1e3
        )
        print(f"{'of it for those that wait':<60} {beside - alone:10.3f} ms")

        (folder / "agent.py").write_text(MANY)
        noted = folder / "noted"

        def a_second() -> float:
            noted.write_text("")
            took = played_s(many(folder, agents, 50), folder)
            counted = Counter(noted.read_text().split())
            assert len(counted) == agents * 50, f"{agents * 50 - len(counted)} calls were lost"
            assert set(counted.values()) == {1}, "a call was made twice"
            return agents * 50 / took

        measured(f"calls of {agents} agents at once, each counted once", repeats, "a second", a_second)


if __name__ == "__main__":
    main()
