"""Rounds of agents that count their turns, beside autogen-core, LangGraph with SQLite, and DBOS, in one run.

They alternate.

    python benchmarks/bench_peers.py --folder FOLDER [--agents 1000,2] [--workers 1] [--seconds 3] [--repeats 3]

Each peer has an environment of its own in the folder, which `peers/environments.py` makes when it is missing.
What is measured is a round in which every agent has a turn and adds one to what it keeps:

- turnwise: a fresh sandbox a turn, each round durable, one worker (or as many as are named)
- autogen: a message to each agent in one process; nothing is durable, nothing is confined
- langgraph: a super-step with a task for each agent, and a checkpoint in SQLite after it
- dbos: a workflow with a step for each agent, each durable in SQLite

Each line is one JSON object: turns per second, and milliseconds of a round, medians with the least and the greatest;
for the peers also how many times as many turns Turnwise has, the median of neighbouring measurements. Each program
checks that all agents have counted all their turns.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from peers.environments import PACKAGES, make, python_of

PEERS = Path(__file__).parent / "peers"
SECONDS_MAX = 600


def measured(python: Path, program: str, *arguments: object) -> float:
    """Seconds of a round."""
    command = [str(python), str(PEERS / f"{program}_rounds.py"), *map(str, arguments)]
    environment = os.environ if program == "turnwise" else {"PATH": os.environ["PATH"]}
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS_MAX, env=environment)
    found = json.loads(done.stdout.splitlines()[-1])
    return float(found["seconds"] / found["rounds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--agents", default="1000,2")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    make(options.folder)
    for agents in map(int, options.agents.split(",")):
        found: dict[str, list[float]] = {"turnwise": [], **{peer: [] for peer in PACKAGES}}
        for _ in range(options.repeats):
            ours = measured(Path(sys.executable), "turnwise", agents, options.seconds, options.workers)
            found["turnwise"].append(ours)
            for peer in PACKAGES:
                found[peer].append(measured(python_of(options.folder, peer), peer, agents, options.seconds))
        for name, rounds_s in found.items():
            rates = [agents / round_s for round_s in rounds_s]
            line: dict[str, object] = {
                "benchmark": "rounds",
                "of": name,
                "agents": agents,
                "turns_per_s": round(statistics.median(rates)),
                "spread": [round(min(rates)), round(max(rates))],
                "round_ms": round(statistics.median(rounds_s) * 1000, 3),
            }
            if name != "turnwise":
                ratios = [peer / ours for peer, ours in zip(rounds_s, found["turnwise"], strict=True)]
                line["turnwise_times"] = round(statistics.median(ratios), 2)
                line["ratio_spread"] = [round(min(ratios), 2), round(max(ratios), 2)]
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
