"""Time of `run_python` beside a Python process that is started for the same code, and pyodide where there is node.

    python benchmarks/bench_run_python.py [--calls 64] [--rounds 20] [--repeats 5] [--pyodide FOLDER]

Each line is one JSON object, times in milliseconds. `many`: a call among `--calls` of one turn, the turn's own
executions, journal and head included, with one worker. `one`: a whole turn with a single call, from handing out to the
durable commit. `process`: `python -I -c` with the same code. `pyodide`: node, which loads pyodide (the folder of its
npm package) and runs the code. `ratio` is the median of a process's time over a call's, of neighbouring measurements.
Every value that comes back is compared with what the code must give.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import turnwise
from turnwise import Agent, Grants, World

CODE = "sum(range(input))"
MANY = """
def turn(t):
    t.state = [one.value for one in t.run_python_all([(t.args["code"], n) for n in range(t.args["calls"])])]
    t.wake_in(1)
"""
WARM_ROUNDS = 2


def call_ms(calls: int, rounds: int) -> float:
    """The median time of a call, over rounds in which one agent makes so many at once."""
    agent = Agent(
        MANY, start=True, args={"code": CODE, "calls": calls}, effects_max=calls, grants=Grants(run_python=True)
    )
    world = World(name="bench", rounds_max=rounds + WARM_ROUNDS, agents={"caller": agent})
    times = []
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "run.journal"
        with world.start(journal=journal, workers=1) as live:
            before = time.perf_counter()
            for _ in live:
                now = time.perf_counter()
                times.append((now - before) * 1000 / calls)
                before = now
        with turnwise.open(journal) as run:
            assert json.loads(run.state("caller")) == [sum(range(n)) for n in range(calls)]
    return statistics.median(times[WARM_ROUNDS:])


def process_ms(command: list[str]) -> float:
    """The time of a process that prints the sum."""
    before = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    took = (time.perf_counter() - before) * 1000
    assert done.stdout.strip() == "45", done
    return took


def alternated(measures: dict[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(repeats):
        for name, measure in measures.items():
            found[name].append(measure())
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--pyodide", type=Path)
    options = parser.parse_args()
    python = [sys.executable, "-I", "-c", "print(sum(range(10)))"]
    measures: dict[str, Callable[[], float]] = {
        "many": lambda: call_ms(options.calls, options.rounds),
        "one": lambda: call_ms(1, options.rounds),
        "process": lambda: process_ms(python),
    }
    if options.pyodide is not None:
        script = (
            f"const {{loadPyodide}} = require({json.dumps(str(options.pyodide))});"
            "loadPyodide().then(p => console.log(p.runPython('sum(range(10))')))"
        )
        measures["pyodide"] = lambda: process_ms(["node", "-e", script])
    found = alternated(measures, options.repeats)
    for name, times in found.items():
        line = {"benchmark": name, "ms": round(statistics.median(times), 3)}
        print(json.dumps(line | {"spread": [round(min(times), 3), round(max(times), 3)]}))
    ratios = [process / call for process, call in zip(found["process"], found["many"], strict=True)]
    print(json.dumps({"benchmark": "process over call", "ratio": round(statistics.median(ratios), 2)}))


if __name__ == "__main__":
    main()
