"""Many seeds: `python -m tests.sim [--seeds 0..2499] [--worlds mixed,waves] [--jobs 2]`; 12,500 runs unless told."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from tests.sim.calling import calling
from tests.sim.worlds import WORLDS
from turnwise.sim import Violation

PLAYED = {**WORLDS, "calling": calling}


def play(name: str, seeds: range) -> tuple[int, int, Counter[str], list[str]]:
    """Play a world with these seeds: runs, lives, how often each fault struck, and what was found."""
    simulator = PLAYED[name]().simulator()
    struck: Counter[str] = Counter()
    lives, found = 0, []
    for seed in seeds:
        try:
            run = simulator.disturbed(seed)
        except Violation as violation:
            found.append(f"{violation}\n  python -m tests.sim --worlds {name} --seeds {seed}..{seed}")
            continue
        struck.update(run.faults)
        lives += run.lives
    return len(seeds), lives, struck, found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description="Play many seeds under the simulator.")
    parser.add_argument("--seeds", default="0..2499", help="first and last seed of each world (default: 0..2499)")
    parser.add_argument("--worlds", default=",".join(PLAYED), help="worlds, with commas between (default: all)")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args()
    first, last = map(int, options.seeds.split(".."))
    size = max(1, min(250, last - first + 1))
    parts = [
        (name, range(start, min(start + size, last + 1)))
        for name in options.worlds.split(",")
        for start in range(first, last + 1, size)
    ]
    begun = time.monotonic()
    runs, lives, struck, found = 0, 0, Counter[str](), list[str]()
    with ProcessPoolExecutor(options.jobs) as pool:
        for more, more_lives, more_struck, more_found in pool.map(play, *zip(*parts, strict=True)):
            runs, lives = runs + more, lives + more_lives
            struck.update(more_struck)
            found += more_found
    print(f"{runs:,} runs, {lives:,} lives, {sum(struck.values()):,} faults in {time.monotonic() - begun:.0f} s")
    print(", ".join(f"{name} {count:,}" for name, count in sorted(struck.items())))
    for text in found:
        print(text)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
