"""Every decision says first what was decided, why, and what it costs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DECISIONS = sorted((Path(__file__).parents[1] / "docs" / "decisions").glob("[0-9]*.md"))
HEADS = ("**Decided.** ", "**Because.** ", "**Costs.** ")
FIRST = 16
"""The decisions that were numbered one by one; later ones have numbers by their subject."""


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_begins_with_what_why_and_costs(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    number = int(page.stem[:4])
    assert re.match(rf"# {number}\. \S", text)
    beginning = text.partition("\n## ")[0].splitlines()
    found = [line[: line.index("** ") + 3] for line in beginning if re.match(r"\*\*[A-Z]\w+\.\*\* ", line)]
    assert tuple(found[:3]) == HEADS


def test_the_first_decisions_are_all_there() -> None:
    numbers = [int(page.stem[:4]) for page in DECISIONS]
    assert numbers[:FIRST] == list(range(1, FIRST + 1))
    assert len(set(numbers)) == len(numbers)
