"""Runs engines in turn on the same work, and says how they compare: medians, spreads, ratios of neighbours."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from pathlib import Path
from typing import Any

from inference.work import MEASURED, MEASURES, Answer, Run, Work

Found = dict[str, list[list[Answer]]]
"""By engine, of each repetition, of each turn."""

Numbers = dict[str, list[float]]


def alternate(work: Work, engines: dict[str, Run], repeats: int, what: str) -> tuple[Found, list[float]]:
    """All answers of each engine, and the machine's load. Every second repetition runs in the other order.

    Each runs once before, on a few tokens. What the first engine answers must be the same in all repetitions.
    """
    short = work.shortened()
    for name, run in engines.items():
        _checked(run(short), short, f"{what} {name}")
    found: Found = {name: [] for name in engines}
    loads = [os.getloadavg()[0]]
    for number in range(repeats):
        for name in list(engines)[:: -1 if number % 2 else 1]:
            answers = _checked(engines[name](work), work, f"{what} {name}")
            found[name].append(answers)
            seconds = sum(answer.total_s for answer in answers)
            print(f"{what} {number + 1}/{repeats} {name}: {seconds:.4g} s", file=sys.stderr, flush=True)
            loads.append(os.getloadavg()[0])
    tokens = [[answer.tokens for answer in answers] for answers in found[next(iter(engines))]]
    if any(these != tokens[0] for these in tokens):
        raise SystemExit(f"{what}: {next(iter(engines))} gives other tokens when it is repeated")
    return found, [min(loads), max(loads)]


def _checked(answers: list[Answer], work: Work, who: str) -> list[Answer]:
    if len(answers) != 1 + len(work.later):
        raise SystemExit(f"{who}: {len(answers)} turns, not {1 + len(work.later)}")
    for answer in answers:
        answer.check(len(work.prompts), work.new, who)
    return answers


def numbers(work: Work, found: list[list[Answer]]) -> Numbers:
    return {key: [MEASURES[key](work, answers) for answers in found] for key in MEASURED[work.name]}


def ratios(ours: Numbers, other: Numbers) -> dict[str, Any]:
    """By measure, of neighbouring repetitions: greater than 1 where ours is faster."""
    found = {}
    for key, mine in ours.items():
        pairs = [(a, b) for a, b in zip(mine, other[key], strict=True) if a and b]
        found[key] = median_spread([a / b if key.endswith("_per_s") else b / a for a, b in pairs])
    return found


def median_spread(values: list[float]) -> dict[str, Any]:
    """The median, and the least and the greatest."""
    if not values:
        return {"median": None, "spread": [None, None]}
    rounded = [_rounded(value) for value in values]
    return {"median": _rounded(statistics.median(values)), "spread": [min(rounded), max(rounded)]}


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


class Report:
    """Prints results, one JSON object a line, and keeps them."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def __call__(self, **fields: Any) -> None:
        self.lines.append(fields)
        print(json.dumps(fields), flush=True)
