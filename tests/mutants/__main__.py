"""python -m tests.mutants AREA... [--module NAME] [--every N] [--seconds-max S]"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from tests.mutants.changes import Mutant, mutants_of
from tests.mutants.run import is_killed

ROOT = Path(__file__).resolve().parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.txt")
AREAS: dict[str, tuple[str, ...]] = {
    "core": ("tests/core", "tests/sim"),
    "journal": ("tests/journal",),
}
"""Where the tests of an area lie. They run from the one that is named like the module to the others."""
BROAD = ("test_machine.py", "test_sums.py")
"""Tests that see much of an area in little time."""
LEFT_OUT = ("test_nothing_around_the_interpreter_reaches_an_answer",)
"""Tests whose code runs in processes of their own, which know nothing of the change."""
PATIENCE = 5.0
"""Times what the tests take without a change; beyond that a change is taken to be noticed."""


def explained() -> dict[str, str]:
    """Changes that change nothing, by their key, with the reason."""
    lines = EQUIVALENT.read_text(encoding="utf-8").splitlines()
    pairs = [line.rsplit(" -- ", 1) for line in lines if line.strip() and not line.startswith("#")]
    return {key.strip(): reason.strip() for key, reason in pairs}


def mutants(area: str) -> list[Mutant]:
    source = ROOT / "src"
    files = sorted((source / "turnwise" / area).rglob("*.py"))
    return [
        mutant
        for path in files
        for mutant in mutants_of(".".join(path.relative_to(source).with_suffix("").parts), path)
    ]


def tests_for(module: str, area: str) -> list[str]:
    """All test files of the area, the module's own first."""
    paths = [path for folder in AREAS[area] for path in sorted((ROOT / folder).rglob("test_*.py"))]
    files = [str(path.relative_to(ROOT)) for path in paths]
    first = (f"test_{module.rpartition('.')[2]}.py", *BROAD)
    files.sort(key=lambda file: (first.index(name) if (name := Path(file).name) in first else len(first), file))
    return [*files, "-k", " and ".join(f"not {name}" for name in LEFT_OUT)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("areas", nargs="+", choices=AREAS)
    parser.add_argument("--module", help="only modules whose name holds this")
    parser.add_argument("--every", type=int, default=1, help="only each Nth mutant")
    parser.add_argument("--seconds-max", type=float, default=3600.0, help="stop after so long, and say how far it came")
    options = parser.parse_args()
    os.chdir(ROOT)
    os.nice(19)
    began = time.monotonic()
    reasons = explained()
    for area in options.areas:
        found = [mutant for mutant in mutants(area) if not options.module or options.module in mutant.module]
        found = found[:: options.every]
        started = time.monotonic()
        if is_killed(None, tests_for(area, area), 3600.0):
            print("the tests fail without any change", file=sys.stderr)
            return 1
        patience_s = PATIENCE * (time.monotonic() - started) + 10
        killed = same = tried = 0
        for mutant in found:
            if time.monotonic() - began > options.seconds_max:
                break
            tried += 1
            if mutant.key in reasons:
                same += 1
            elif is_killed(mutant, tests_for(mutant.module, area), patience_s):
                killed += 1
            else:
                print(f"survived: {mutant.key}", flush=True)
        rest = tried - same
        share = f"{100 * killed / rest:.1f} %" if rest else "-"
        print(
            f"{area}: {tried} of {len(found)} mutants tried, {killed} killed, {same} equivalent, "
            f"{rest - killed} survived: {share} of those that are not equivalent"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
