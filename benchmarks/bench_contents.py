"""Time and memory of contents: a large one that goes from agent to agent, beside messages without one.

    python benchmarks/bench_contents.py [--mib 16] [--rounds 50] [--repeats 5]

Each line is one JSON object. `put`: the round in which an agent puts the content, in seconds; base64 in the sandbox is
nearly all of it. `attached` and `plain`: the median round, in milliseconds, in which two agents send each other a short
message, with the content attached or without; runs alternate, and `difference` is what the attachment costs.
`journal_bytes` is the size of the journal, over that of the content. `peak_over_content` is the growth of the
orchestrator's peak memory over a run without a content, in sizes of the content. Every run checks that the content
arrived.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import turnwise
from turnwise import Agent, Grants, World

PLAYER = """
def turn(t):
    if t.args["begins"] and t.round == 1:
        handle = t.put(bytes(t.args["bytes"])) if t.args["bytes"] else None
        t.send("other", "ball", attach=handle)
    for message in t.inbox:
        t.state = {"bytes": message.attach.bytes if message.attach else 0}
        t.send(message.sender, "ball", attach=message.attach)
"""


def play(size: int, mib: int, rounds: int) -> dict[str, float]:
    """Times of rounds, size of the journal and peak memory of a run in this process; `mib` sets its limits."""
    common = {"fuel": 40_000_000_000, "memory_mib": 64 + 8 * mib, "output_mib": 2 + 2 * mib}
    agents = {
        "one": Agent(PLAYER, args={"begins": True, "bytes": size}, start=True, grants=Grants(send=["other"]), **common),
        "other": Agent(PLAYER, args={"begins": False, "bytes": 0}, grants=Grants(send=["one"]), **common),
    }
    world = World(name="bench", agents=agents, rounds_max=rounds, turn_seconds_max=100_000)
    times = []
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "run.journal"
        with world.start(journal=journal, workers=1) as live:
            before = time.perf_counter()
            for _ in live:
                now = time.perf_counter()
                times.append(now - before)
                before = now
        with turnwise.open(journal) as run:
            assert not list(run.failures), next(iter(run.failures)).failure
            assert json.loads(run.state("other")) == {"bytes": size}
        journal_bytes = journal.stat().st_size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "put_s": times[0],
        "round_ms": statistics.median(times[5:]) * 1000,
        "journal": journal_bytes,
        "peak": peak,
    }


def apart(size: int, mib: int, rounds: int) -> dict[str, float]:
    """The same in a process of its own, whose peak memory is this run's."""
    command = [
        sys.executable,
        os.fspath(Path(__file__)),
        "--one",
        str(size),
        "--mib",
        str(mib),
        "--rounds",
        str(rounds),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(play(options.one, options.mib, options.rounds)))
        return
    size = options.mib * 1024 * 1024
    found = [
        (apart(size, options.mib, options.rounds), apart(0, options.mib, options.rounds))
        for _ in range(options.repeats)
    ]
    for name, values in (
        ("put", [one["put_s"] for one, _ in found]),
        ("attached", [one["round_ms"] for one, _ in found]),
        ("plain", [other["round_ms"] for _, other in found]),
        ("difference", [one["round_ms"] - other["round_ms"] for one, other in found]),
        ("journal_bytes", [one["journal"] / size for one, _ in found]),
        ("peak_over_content", [(one["peak"] - other["peak"]) / size for one, other in found]),
    ):
        line = {"benchmark": name, "mib": options.mib, "value": round(statistics.median(values), 4)}
        print(json.dumps(line | {"spread": [round(min(values), 4), round(max(values), 4)]}))


if __name__ == "__main__":
    main()
