"""Whether cost stays the same as worlds grow: agents a round, turns so far, and agents that wait.

    python benchmarks/bench_scale.py [--only PART…] [--quick]

| part |  |
| -- | -- |
| `agents` | processor time of a turn with 1,000, 10,000 and 100,000 agents a round |
| `turns` | processor time of a turn over a run of 1,000,000 turns, a tenth after the other |
| `idle` | from `start` until the first turn is on disk, peak memory, and memory of an agent that does nothing |

Agents are core modules that return at once, with one worker. Each measurement has a process of its own and is a JSON
object on a line; `orchestrator_us` is the processor time of a turn in the orchestrator's process, `cpu_us` that of all.
Processor time is what other work on the machine changes least; it is not what a run takes by the clock.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from bench_turns import NO_OP_WAT, children_s, world

import turnwise

PARTS: Final = ("agents", "turns", "idle")
ROUND_SIZES: Final = (1_000, 10_000, 100_000)
TURNS: Final = 1_000_000
IDLE: Final = (1, 100_000, 999_999)
WINDOWS: Final = 10
WARM_ROUNDS: Final = 3


def of_agents(agents: int, turns: int) -> dict[str, object]:
    """Processor time of a turn with so many agents a round, over about so many turns."""
    with tempfile.TemporaryDirectory() as folder:
        with turnwise.start(world(NO_OP_WAT, agents), workers=1, journal=Path(folder, "scale.journal")) as live:
            for _ in range(WARM_ROUNDS):
                live.step()
            own, theirs = time.process_time(), children_s(live)
            rounds = max(2, turns // agents)
            for _ in range(rounds):
                live.step()
            own, theirs = time.process_time() - own, children_s(live) - theirs
        count = rounds * agents
        size = live.journal.stat().st_size
    return {
        "agents_per_round": agents,
        "orchestrator_us": round(own / count * 1e6, 2),
        "cpu_us": round((own + theirs) / count * 1e6, 2),
        "journal_bytes_a_turn": round(size / (count + WARM_ROUNDS * agents), 1),
    }


def of_turns(turns: int) -> list[dict[str, object]]:
    """Processor time of a turn in each tenth of a run."""
    agents = 1_000
    found: list[dict[str, object]] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        turnwise.start(world(NO_OP_WAT, agents), workers=1, journal=Path(folder, "scale.journal")) as live,
    ):
        for _ in range(WARM_ROUNDS):
            live.step()
        rounds = turns // agents // WINDOWS
        for window in range(WINDOWS):
            own, theirs = time.process_time(), children_s(live)
            for _ in range(rounds):
                live.step()
            own, theirs = time.process_time() - own, children_s(live) - theirs
            count = rounds * agents
            found.append(
                {
                    "turns_before": window * count,
                    "orchestrator_us": round(own / count * 1e6, 2),
                    "cpu_us": round((own + theirs) / count * 1e6, 2),
                    "memory_mib": round(peak_bytes() / 1024**2, 1),
                }
            )
    return found


def of_idle(agents: int) -> dict[str, object]:
    """Start a world in which one agent moves and the others wait."""
    waiting = world(NO_OP_WAT, 1)
    kinds = {**waiting.agents, "idle": turnwise.Agent(NO_OP_WAT, count=agents)}
    whole = turnwise.World(name="idle", rounds_max=10**6, agents=kinds)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        own = time.process_time()
        with turnwise.start(whole, workers=1, journal=Path(folder, "scale.journal")) as live:
            assert live.step()
            elapsed, own = time.perf_counter() - start, time.process_time() - own
            steps = time.process_time()
            for _ in range(50):
                live.step()
            steps = time.process_time() - steps
    return {
        "idle_agents": agents,
        "start_s": round(elapsed, 2),
        "start_cpu_s": round(own, 2),
        "peak_mib": round(peak_bytes() / 1024**2, 1),
        "round_of_one_cpu_us": round(steps / 50 * 1e6),
    }


def peak_bytes() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def alone(part: str, number: int) -> list[dict[str, object]]:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, "--alone", part, str(number)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return found if isinstance(found, list) else [found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--quick", action="store_true", help="a hundredth of everything, to try the script")
    parser.add_argument("--alone", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    share = 100 if options.quick else 1
    if options.alone:
        part, number = options.alone[0], int(options.alone[1])
        measure = {"agents": lambda: of_agents(number, 400_000 // share), "turns": lambda: of_turns(number)}
        print(json.dumps(measure.get(part, lambda: of_idle(number))()))
        return
    lines: list[dict[str, object]] = []
    for part in options.only:
        numbers = {"agents": ROUND_SIZES, "turns": (TURNS // share,), "idle": IDLE}[part]
        for number in numbers:
            for line in alone(part, max(1, number // share) if part != "turns" else number):
                lines.append({"benchmark": part} | line)
                print(json.dumps(lines[-1]), flush=True)
    for part in options.only:
        own = [line for line in lines if line["benchmark"] == part]
        if part == "idle":
            few, many = own[0], own[-1]
            bytes_each = (many["peak_mib"] - few["peak_mib"]) * 1024**2 / (many["idle_agents"] - few["idle_agents"])  # type: ignore[operator]
            print(json.dumps({"benchmark": "bytes of an idle agent", "bytes": round(bytes_each)}))
        else:
            ratios = [round(line["cpu_us"] / own[0]["cpu_us"], 3) for line in own]  # type: ignore[operator]
            print(json.dumps({"benchmark": f"{part}, ratio to the first", "ratios": ratios}))


if __name__ == "__main__":
    main()
