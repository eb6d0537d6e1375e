"""A sweep of seeds beside as many commands, alternately: seconds of both, and the ratio; heads are compared.

The ratio is meant to be at most 0.25 for 200 seeds of examples/market. A JSON line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WORLD = Path(__file__).parents[1] / "examples" / "market"
RATIO_MAX = 0.25


def commands(seeds: int, folder: Path) -> list[str]:
    """Run each seed by a command of its own; return the heads."""
    found = []
    for seed in range(seeds):
        value = _turnwise("run", WORLD, "--seed", seed, "--journal", folder / f"{seed}.journal")
        found.append(str(value["head"]))
    return found


def sweep(seeds: int, folder: Path) -> list[str]:
    """Run all seeds by one command; return the heads."""
    value = _turnwise("sweep", WORLD, "--seeds", f"0..{seeds - 1}", "--journals", folder)
    return [str(run["head"]) for run in value["runs"]]


def _turnwise(*arguments: object) -> dict[str, Any]:
    ended = subprocess.run(
        [sys.executable, "-m", "turnwise", *map(str, arguments), "--json"], capture_output=True, text=True, check=True
    )
    value: dict[str, Any] = json.loads(ended.stdout)
    return value


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=200)
    options.add_argument("--times", type=int, default=3)
    options.add_argument("--quick", action="store_true", help="4 seeds, once: shows that it works, and no more")
    given = options.parse_args()
    seeds, times = (4, 1) if given.quick else (given.seeds, given.times)
    taken: dict[str, list[float]] = {"sweep": [], "commands": []}
    for number in range(-1, times):  # the first of each fills the caches and does not count
        heads = {}
        for name, play in (("sweep", sweep), ("commands", commands)):
            with tempfile.TemporaryDirectory() as folder:
                begun = time.perf_counter()
                heads[name] = play(1 if number < 0 else seeds, Path(folder))
                if number >= 0:
                    taken[name].append(time.perf_counter() - begun)
        if heads["sweep"] != heads["commands"]:
            print("the heads of the sweep are not those of the commands", file=sys.stderr)
            return 1
    ratios = [one / other for one, other in zip(taken["sweep"], taken["commands"], strict=True)]
    figure = {
        "what": f"a sweep of {seeds} seeds of examples/market / as many commands",
        "sweep_s": round(statistics.median(taken["sweep"]), 2),
        "commands_s": round(statistics.median(taken["commands"]), 2),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "at_most": RATIO_MAX,
    }
    print(json.dumps(figure))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
