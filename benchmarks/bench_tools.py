"""Calls of tools: what one costs beside asking its server directly, what agents cost that wait, and many calls.

    python benchmarks/bench_tools.py [--calls N] [--agents N] [--repeats N]

- A call in a run, for an agent that is a core module and for one in Python: all of it; that of a call which is refused,
  whose turn is executed again as often; that of a call at the desk alone (the process of its server, with the checks of
  arguments and results). What is left is ours: two small transactions, and all that hands a call on. What two such
  transactions cost on this disk by themselves is printed beside it.
- A turn with many calls, which is executed again after each, with the replies to all before it.
- A world in which agents wait for calls that do not end, beside the same world without them: time of a round.
- Calls of many agents at the same time, in calls a second. A server counts them: none may be lost, none made twice.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
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
from turnwise_guest import EffectError

def turn(t):
    for n in range(t.args["calls"]):
        try:
            assert t.call(t.args["tool"], {"a": n, "b": 1}).data == n + 1
        except EffectError as error:
            assert (t.args["tool"], error.kind) == ("own.none", "unknown_tool")
    if t.turn < t.args["turns"]:
        t.wake_in(1)
    else:
        t.finish()
"""
MODULE = """
(module
  (import "turnwise" "effect" (func $effect (param i32 i32) (result i64)))
  (memory (export "memory") 2)
  (data (i32.const 16) "{request}")
  (data (i32.const 1024) "{{\\22state\\22:\\22\\22,\\22wake_in\\22:1}}")
  (func (export "turnwise_alloc") (param i32) (result i32) (i32.const 8192))
  (func (export "turnwise_turn") (param i32 i32) (result i64)
    (local $n i32)
    (loop $again
      (drop (call $effect (i32.const 16) (i32.const {request_bytes})))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $n) (i32.const {calls}))))
    (i64.or (i64.shl (i64.const 1024) (i64.const 32)) (i64.const 24))))
"""
CALLS_A_TURN = 8
TOOL, REFUSED = "own.add", "own.none"
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


def module(folder: Path, tool: str) -> str:
    """Write a core module whose turn makes some calls, without a look at the replies; return its name."""
    request = json.dumps({"effect": "call", "tool": tool, "args": {"a": 1, "b": 1}})
    text = MODULE.format(request=request.replace('"', "\\22"), request_bytes=len(request), calls=CALLS_A_TURN)
    path = folder / f"{tool}.wat"
    path.write_text(text)
    return path.name


def calling(folder: Path, source: str, tool: str, turns: int, calls: int = CALLS_A_TURN) -> World:
    return World(
        "bench",
        tools={"own": Tools("python", {"path": "own.py"})},
        rounds_max=turns,
        agents={
            "agent": Agent(
                source,
                args={"calls": calls, "tool": tool, "turns": turns},
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


def call_ms(folder: Path, source: str, tool: str, calls: int, calls_a_turn: int = CALLS_A_TURN) -> float:
    """Play a run with so many calls, and one of a turn alone; return what one call costs."""
    turns = calls // calls_a_turn
    more = played_s(calling(folder, source, tool, 1 + turns, calls_a_turn), folder)
    return (more - played_s(calling(folder, source, tool, 1, calls_a_turn), folder)) / (turns * calls_a_turn) * 1_000


def transactions_ms(folder: Path, calls: int) -> float:
    """Return what two small transactions cost by themselves, as a journal is written."""
    with closing(sqlite3.connect(folder / "plain", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE IF NOT EXISTS noted (id INTEGER PRIMARY KEY, what)")
        began = time.perf_counter()
        for _ in range(2 * calls):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO noted (what) VALUES (?)", ("x" * 100,))
            connection.execute("COMMIT")
        return (time.perf_counter() - began) / calls * 1_000


def cost_of_a_call(folder: Path, calls: int, repeats: int) -> None:
    desk = measured("a call at the desk alone", repeats, "ms", lambda: at_the_desk_ms(folder, calls))
    measured("two small transactions on this disk alone", repeats, "ms", lambda: transactions_ms(folder, calls))
    sources = {
        "core module": {tool: module(folder, tool) for tool in (TOOL, REFUSED)},
        "Python agent": dict.fromkeys((TOOL, REFUSED), "agent.py"),
    }
    for name, of in sources.items():
        every: dict[str, list[float]] = {TOOL: [], REFUSED: []}
        for _ in range(repeats):  # next to each other, so that both see the same machine
            for tool, source in of.items():
                every[tool].append(call_ms(folder, source, tool, calls))
        made, refused = (statistics.median(every[tool]) for tool in (TOOL, REFUSED))
        print(f"{name + ': a call in a run':<60} {made:10.3f} ms   ({min(every[TOOL]):.3f} to {max(every[TOOL]):.3f})")
        print(f"{'    one that is refused: its turn is executed again':<60} {refused:10.3f} ms")
        print(f"{'    ours: beside its server and that execution':<60} {made - refused - desk:10.3f} ms", flush=True)
    for tool, what in ((TOOL, "made"), (REFUSED, "refused")):
        name = f"Python agent: a call of {calls} in one turn, each {what}"
        measured(name, 1, "ms", lambda tool=tool: call_ms(folder, "agent.py", tool, calls, calls))  # type: ignore[misc]


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
        cost_of_a_call(folder, calls, repeats)

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
