"""python -m tests.mutants AREA... [--module NAME] [--every N] [--seconds-max S]"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.changes import Mutant, mutants_of
from tests.mutants.run import is_killed
from tests.mutants.warm import Warm

ROOT = Path(__file__).resolve().parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.txt")
AREAS: dict[str, tuple[str, ...]] = {
    "core": ("tests/core", "tests/sim"),
    "journal": ("tests/journal", "tests/history/test_forgery.py", "tests/evidence"),
    "confine": ("tests/confine",),
    "inference/engine": ("tests/inference/engine",),
    "sandbox/build": ("tests/sandbox/build",),
    "sandbox/execute": ("tests/sandbox/execute", "tests/sandbox/test_hostile_guests.py"),
    "sandbox/pool": ("tests/sandbox/pool",),
}
"""Where the tests of an area lie."""
LEFT_OUT = ("test_nothing_around_the_interpreter_reaches_an_answer",)
"""Tests whose code runs in processes of their own, which know nothing of the change."""
PATIENCE = 10.0
"""Times what the tests take without a change; beyond that a change is taken to be noticed."""


@dataclass(slots=True)
class Score:
    """What came of the mutants of one module."""

    found: int
    tried: int = 0
    killed: int = 0
    equivalent: int = 0

    @property
    def survived(self) -> int:
        return self.tried - self.killed - self.equivalent

    def line(self, name: str) -> str:
        rest = self.tried - self.equivalent
        share = f"{100 * self.killed / rest:.1f} %" if rest else "-"
        unfinished = "" if self.tried == self.found else f" (of {self.found}: not finished)"
        return f"| {name} | {self.tried}{unfinished} | {self.equivalent} | {self.killed} | {self.survived} | {share} |"

    def add(self, other: Score) -> None:
        self.found += other.found
        self.tried += other.tried
        self.killed += other.killed
        self.equivalent += other.equivalent


def explained() -> dict[str, str]:
    """Changes that change nothing, by their key, with the reason."""
    lines = EQUIVALENT.read_text(encoding="utf-8").splitlines()
    pairs = [line.rsplit(" -- ", 1) for line in lines if line.strip() and not line.startswith("#")]
    return {key.strip(): reason.strip() for key, reason in pairs}


def sources(area: str) -> list[Path]:
    return sorted((ROOT / "src" / "turnwise" / area).rglob("*.py"))


def mutants(area: str) -> list[Mutant]:
    return [
        mutant
        for path in sources(area)
        for mutant in mutants_of(".".join(path.relative_to(ROOT / "src").with_suffix("").parts), path)
    ]


def test_files(area: str) -> list[str]:
    places = [ROOT / place for place in AREAS[area]]
    paths = [path for place in places for path in ([place] if place.is_file() else sorted(place.rglob("test_*.py")))]
    return [str(path.relative_to(ROOT)) for path in paths]


def without_left_out() -> list[str]:
    return ["-k", " and ".join(f"not {name}" for name in LEFT_OUT)]


def tests_for(module: str, seconds_by_file: dict[str, float]) -> list[str]:
    """All test files, the module's own first, then those that take little time."""
    own = f"test_{module.rpartition('.')[2]}.py"
    files = sorted(seconds_by_file, key=lambda file: (Path(file).name != own, seconds_by_file[file]))
    return [*files, *without_left_out()]


def scores_of(area: str, found: list[Mutant], until: float, verbose: bool) -> dict[str, Score] | None:
    """Try mutants and print those that survive. None if the tests fail without any change."""
    reasons = explained()
    scores: dict[str, Score] = {}
    for mutant in found:
        scores.setdefault(mutant.module, Score(0)).found += 1
    with Warm([*test_files(area), *without_left_out()], frozenset(map(str, sources(area)))) as warm:
        if warm.failed:
            print(f"without any change: {warm.failed}", file=sys.stderr)
            return None
        patience_s = PATIENCE * sum(warm.seconds_by_file.values()) + 30
        for mutant in found:
            if time.monotonic() > until:
                break
            score = scores[mutant.module]
            score.tried += 1
            if mutant.key in reasons:
                score.equivalent += 1
                continue
            verdict = warm.verdict(mutant)
            killer = verdict.killer
            if verdict.anew and is_killed(mutant, tests_for(mutant.module, warm.seconds_by_file), patience_s):
                killer = "a test after importing anew"
            if killer is not None:
                score.killed += 1
                if verbose:
                    print(f"killed: {mutant.key} -- {killer}", flush=True)
            else:
                tests = "anew" if verdict.anew else f"{verdict.reached} tests"
                print(f"survived: {mutant.key} -- line {mutant.lines.start}, {tests}", flush=True)
    return scores


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("areas", nargs="+", choices=AREAS)
    parser.add_argument("--module", action="append", default=[], help="only modules whose name holds this; repeatable")
    parser.add_argument("--every", type=int, default=1, help="only each Nth mutant")
    parser.add_argument("--seconds-max", type=float, default=3600.0, help="stop after so long, and say how far it came")
    parser.add_argument("--verbose", action="store_true", help="print too which test noticed a change")
    options = parser.parse_args()
    os.chdir(ROOT)
    os.nice(max(0, 19 - os.nice(0)))
    until = time.monotonic() + options.seconds_max
    for area in options.areas:
        found = [
            mutant
            for mutant in mutants(area)
            if not options.module or any(name in mutant.module for name in options.module)
        ][:: options.every]
        scores = scores_of(area, found, until, options.verbose)
        if scores is None:
            return 1
        print("| module | mutants | equivalent | killed | survived | killed of those not equivalent |")
        print("| -- | -- | -- | -- | -- | -- |")
        total = Score(0)
        for module, score in scores.items():
            print(score.line(module.removeprefix("turnwise.")))
            total.add(score)
        print(total.line(f"{area}, all"), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
