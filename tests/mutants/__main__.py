"""python -m tests.mutants AREA... [--module NAME] [--every N] [--seconds-max S] [--results FILE [--again]], and more"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.changes import Mutant, mutants_of
from tests.mutants.results import Result, Results
from tests.mutants.run import is_killed
from tests.mutants.users import files_that_name, lines_that_use, names_of
from tests.mutants.warm import Warm

ROOT = Path(__file__).resolve().parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.txt")
AREAS: dict[str, tuple[str, ...]] = {
    "core": ("tests/core", "tests/sim"),
    "journal": (
        "tests/journal",
        "tests/history/test_forgery.py",
        "tests/history/test_outside_changes.py",
        "tests/history/test_why.py",
        "tests/exports/test_table_files.py",
    ),
    "confine": ("tests/confine",),
    "inference/engine": ("tests/inference/engine", "tests/inference/decoding/test_agreement.py"),
    "sandbox/build": ("tests/sandbox/build",),
    "sandbox/execute": ("tests/sandbox/execute", "tests/sandbox/test_hostile_guests.py"),
    "sandbox/pool": ("tests/sandbox/pool",),
    "tools": ("tests/tools",),
}
"""Where the tests of an area lie."""
LEFT_OUT = ("test_nothing_around_the_interpreter_reaches_an_answer", "test_killed_")
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


def test_files(places: Sequence[str]) -> list[str]:
    named = [ROOT / place for place in places]
    paths = [path for place in named for path in ([place] if place.is_file() else sorted(place.rglob("test_*.py")))]
    return [str(path.relative_to(ROOT)) for path in paths]


def without_left_out() -> list[str]:
    return ["-k", " and ".join(f"not {name}" for name in LEFT_OUT)]


def scores_of(
    area: str,
    found: list[Mutant],
    places: Sequence[str],
    results: Results,
    until: float,
    seconds_max: tuple[float, float],
    verbose: bool,
) -> dict[str, Score] | None:
    """Try mutants and print those that survive. None if the tests fail without any change."""
    reasons = explained()
    scores: dict[str, Score] = {}
    warm: Warm | None = None
    for mutant in found:
        scores.setdefault(mutant.module, Score(0)).found += 1
    try:
        for mutant in found:
            score = scores[mutant.module]
            if mutant.key in reasons:
                score.tried += 1
                score.equivalent += 1
                continue
            result = results.known(mutant)
            if result is None:
                if time.monotonic() > until:
                    continue
                if warm is None:
                    tests = [*test_files(places), *without_left_out()]
                    warm = Warm(tests, frozenset(map(str, sources(area))), *seconds_max)
                if warm.failed:
                    print(f"without any change: {warm.failed}", file=sys.stderr)
                    return None
                result = results.add(mutant, *came_of(mutant, warm, sources(area), seconds_max[1]))
            score.tried += 1
            score.killed += result.killer is not None
            tell(mutant, result, verbose)
    finally:
        if warm is not None:
            warm.close()
    return scores


def came_of(mutant: Mutant, warm: Warm, paths: list[Path], seconds_max: float = 1e9) -> tuple[str | None, int]:
    """Try a mutant; return what noticed it, if anything did, and how many tests reach it.

    What no test reaches in its own process may run in one that a test starts, which finds the change, too, if
    everything is imported anew: then the quickest tests try it that take no more than `seconds_max` together.
    """
    verdict = warm.verdict(mutant)
    if not verdict.anew and (verdict.killer is not None or verdict.reached):
        return verdict.killer, verdict.reached
    if verdict.anew:
        names = names_of(mutant)
        files = files_that_name(names, warm.files) | own_files(mutant, warm.files)
        tests = warm.tests_that_reach(mutant, lines_that_use(names, paths), files)
        reached = len(tests)
    else:
        tests, reached = quickest(warm.seconds_by_test, seconds_max), 0
    patience_s = PATIENCE * sum(warm.seconds_by_test[test] for test in tests) + 60
    if not tests:  # a module that cannot be imported is noticed even so
        tests = [min(warm.seconds_by_test, key=warm.seconds_by_test.__getitem__)]
    killed = is_killed(mutant, tests, patience_s)
    return "a test after importing anew" if killed else None, reached


def own_files(mutant: Mutant, files: Iterable[str]) -> set[str]:
    """Return the files of tests that are named as the module is: they matter to what a decorator has made, too."""
    own = f"test_{mutant.module.rpartition('.')[2]}.py"
    return {file for file in files if Path(file).name == own}


def quickest(seconds_by_test: Mapping[str, float], seconds_max: float) -> list[str]:
    """Return as many tests as take no longer than that together."""
    found, seconds = [], 0.0
    for test in sorted(seconds_by_test, key=seconds_by_test.__getitem__):
        seconds += seconds_by_test[test]
        if seconds > seconds_max:
            break
        found.append(test)
    return found


def tell(mutant: Mutant, result: Result, verbose: bool) -> None:
    """Print a mutant that survived; one that was killed if everything is to be said."""
    if result.killer is None:
        print(f"survived: {mutant.key} -- line {mutant.lines.start}, {result.reached} tests", flush=True)
    elif verbose:
        print(f"killed: {mutant.key} -- {result.killer}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("areas", nargs="+", choices=AREAS)
    parser.add_argument("--module", action="append", default=[], help="only modules whose name holds this; repeatable")
    parser.add_argument("--tests", action="append", default=[], help="these instead of the area's; repeatable")
    parser.add_argument("--every", type=int, default=1, help="only each Nth mutant")
    parser.add_argument("--from", type=int, default=0, dest="first", help="begin with the mutant of this number")
    parser.add_argument("--seconds-max", type=float, default=3600.0, help="stop after so long, and say how far it came")
    parser.add_argument("--test-seconds-max", type=float, default=1e9, help="leave out tests that take longer")
    parser.add_argument(
        "--tests-seconds-max", type=float, default=1e9, help="for a mutant, run no more tests than that"
    )
    parser.add_argument("--results", type=Path, help="keep results in this file, and go on from those that it has")
    parser.add_argument("--again", action="store_true", help="try those again that survived by that file")
    parser.add_argument("--nice", type=int, default=19, help="the priority, as of nice(1)")
    parser.add_argument("--verbose", action="store_true", help="print too which test noticed a change")
    options = parser.parse_args()
    results = Results(options.results and options.results.absolute(), options.again)
    os.chdir(ROOT)
    os.nice(max(0, options.nice - os.nice(0)))
    until = time.monotonic() + options.seconds_max
    bounds = options.test_seconds_max, options.tests_seconds_max
    for area in options.areas:
        found = [
            mutant
            for mutant in mutants(area)
            if not options.module or any(name in mutant.module for name in options.module)
        ][options.first :: options.every]
        scores = scores_of(area, found, options.tests or AREAS[area], results, until, bounds, options.verbose)
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
