"""A sweep of seeds beside as many commands, alternately: seconds of both, and the ratio; heads are compared.

The ratio is meant to be at most 0.25 for 200 seeds of examples/market. A JSON line.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from proof.figure import Figure, medians, ratios, timed

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


def ratio_of_a_sweep(seeds: int, times: int = 1) -> Figure:
    """Measure both sides; the first run of each fills the caches and does not count."""
    taken: dict[str, list[float]] = {"sweep": [], "commands": []}
    for number in range(-1, times):
        heads = {}
        for name, play in (("sweep", sweep), ("commands", commands)):
            with tempfile.TemporaryDirectory() as folder:
                seconds, heads[name] = timed(lambda: play(1 if number < 0 else seeds, Path(folder)))  # noqa: B023
                if number >= 0:
                    taken[name].append(seconds)
        if heads["sweep"] != heads["commands"]:
            raise SystemExit("the heads of the sweep are not those of the commands")
    name = f"a sweep of {seeds} seeds of examples/market / as many commands"
    return Figure(name, ratios(taken["sweep"], taken["commands"]), "", RATIO_MAX, False, medians(taken))


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
    print(json.dumps(ratio_of_a_sweep(seeds, times).line()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
