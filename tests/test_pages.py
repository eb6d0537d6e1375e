"""Pages hold to what they are: decisions begin alike, and what the architecture names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
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


def test_files_that_the_architecture_names_are_there() -> None:
    """A name stands for whatever file or folder ends with it."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = {name for name in re.findall(r"`([\w./-]+)`", text) if name.endswith((".py", "/"))}
    assert len(named) > 40
    found = [path for folder in ("src", "guests", "tests") for path in (ROOT / folder).rglob("*.py")]
    files = {path.relative_to(ROOT).as_posix() for path in found}
    folders = {f"{path.as_posix()}/" for file in files for path in Path(file).parents}
    there = files | folders | {f"{path.relative_to(ROOT).as_posix()}/" for path in ROOT.iterdir() if path.is_dir()}
    assert [name for name in sorted(named) if not any(f"/{one}".endswith(f"/{name}") for one in there)] == []


def test_lists_of_the_changelog_say_each_thing_once_without_empty_lines() -> None:
    """An empty line before one of its items makes a list one of paragraphs."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert text.count("\n- ") > 100
    assert re.findall(r"\n(?:- |  )[^\n]*\n\n(?:- |  )[^\n]*", text) == []
    items = re.findall(r"^- .*", text, re.MULTILINE)
    assert [item for item in sorted(set(items)) if items.count(item) > 1] == []
