"""Proofs of runs, each beside what it is compared with: verify, replay, diff, bundle, fork, resume, sweep.

A JSON line a figure on standard output, with medians, spreads and whether it is what it should be; the table of all on
the standard error stream at the end. What is found is compared every time. The figures of a model are meant for one of
half a billion weights, whatever they are (`--model`), that of a tolerant check for one that was trained (`--trained`).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench_sweep import ratio_of_a_sweep
from proof import checks, files, starts
from proof.figure import Figure, table
from proof.played import Journals
from proof.size import QUICK, WHOLE, Size


@dataclass(frozen=True, slots=True)
class Models:
    """Folders of models."""

    large: str
    """One of half a billion weights."""
    trained: str
    """One that was trained."""


@dataclass(frozen=True, slots=True)
class Part:
    """Figures that are measured together."""

    minutes: float
    """What it takes about, with two cores and a model of half a billion weights."""
    measure: Callable[[Journals, Size, Models], list[Figure]]


PARTS = {
    "model": Part(5, lambda journals, size, models: checks.model_bound(journals, size, models.large)),
    "tolerant": Part(6, lambda journals, size, models: checks.tolerant(journals, size, models.trained)),
    "turns": Part(1, lambda journals, size, _: checks.turn_bound(journals, size)),
    "fork": Part(0.5, lambda journals, size, _: starts.fork(journals, size)),
    "diff": Part(0.5, lambda journals, size, _: files.diff(journals, size)),
    "bundle": Part(1.5, lambda journals, size, _: files.bundle(journals, size)),
    "resume": Part(3, lambda journals, size, _: starts.resume(journals, size)),
    "timings": Part(1, lambda journals, size, _: files.timings(journals, size)),
    "bytes": Part(0.5, lambda journals, size, _: files.bytes_of_a_turn(journals, size)),
    "sweep": Part(5, lambda _, size, __: [ratio_of_a_sweep(size.seeds)]),
}


def main() -> int:
    """Measure what was chosen; 1 if a figure does not hold, unless it is only a look."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--model", default="builtin:demo", help="folder of a model of half a billion weights")
    options.add_argument("--trained", default="builtin:demo", help="folder of a trained model, for tolerant checks")
    options.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts; all, if none is named")
    options.add_argument("--folder", type=Path, help="where journals are written; the disk matters")
    options.add_argument("--quick", action="store_true", help="once, with little work: whether it works, not a figure")
    given = options.parse_args()
    size = QUICK if given.quick else WHOLE
    if not given.quick:
        minutes = sum(PARTS[name].minutes for name in given.only)
        print(f"This takes about {minutes:g} minutes, and wants the machine for itself.", file=sys.stderr)
    models, found = Models(given.model, given.trained), []
    for name in given.only:
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            for figure in PARTS[name].measure(Journals(Path(folder)), size, models):
                print(json.dumps(figure.line()), flush=True)
                found.append(figure)
        print(f"{name}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    print(table(found), file=sys.stderr)
    return 0 if given.quick or all(figure.holds for figure in found) else 1


if __name__ == "__main__":
    sys.exit(main())
