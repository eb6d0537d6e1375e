"""A tournament of thirty strategies (`benchmarks/tournament/`): a hundred moves against everybody, 87,030 messages.

    python benchmarks/bench_tournament.py [--workers 2] [--repeats 3]

Each line is one JSON object: seconds of the whole run, from starting workers to the end on disk, with everything
compiled before; all runs must have the same head, and all messages.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import turnwise

WORLD = Path(__file__).parent / "tournament" / "world.toml"
MESSAGES = 87_030
TURNS = 30 * 101 + 1


def played(workers: int) -> tuple[float, str]:
    """Seconds of a run, and its head."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        with turnwise.start(WORLD, workers=workers, journal=Path(folder, "tournament.journal")) as live:
            run = live.result()
        elapsed = time.perf_counter() - start
        with run:
            assert (len(run.turns), len(run.failures), len(run.messages)) == (TURNS, 0, MESSAGES)
            return elapsed, run.head


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    _, head = played(options.workers)
    times = []
    for _ in range(options.repeats):
        elapsed, found = played(options.workers)
        assert found == head
        times.append(elapsed)
    line = {
        "benchmark": "tournament",
        "workers": options.workers,
        "seconds": round(statistics.median(times), 2),
        "spread": [round(min(times), 2), round(max(times), 2)],
        "turns": TURNS,
        "messages": MESSAGES,
        "head": head,
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
