"""What does not grow with the rounds is read of every format: plans, and what the execution digest goes on by."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.journal.records import create
from turnwise.journal import Journal
from turnwise.journal.read.rows import WriterRow

STORED = Path(__file__).parents[2] / "data"


@pytest.fixture(params=[1, 3])
def ruled(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Journal, int]]:
    """A journal whose chains are made by a rule, and the rule."""
    path = tmp_path / "run.journal"
    create(path).close()
    if request.param == 1:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DELETE FROM meta WHERE name = 'chains'")
    with Journal.open(path) as journal:
        yield journal, request.param


def written(*noted: tuple[int, str]) -> list[WriterRow]:
    return [WriterRow(round_, versions, "{}") for round_, versions in noted]


def test_versions_that_are_other_than_those_that_executed_are_noted(ruled: tuple[Journal, int]) -> None:
    journal, rule = ruled
    assert (journal.header.rule == 1) == (rule == 1)
    continued = journal.header.continued_versions
    assert continued(0) is None
    assert continued(2, written((0, "a"), (2, "b"))) == "b"
    assert continued(2, written((0, "a"), (2, "a"))) is None
    assert continued(1, written((0, "a"), (2, "b"))) is None
    assert continued(4, written((0, "a"), (2, "b"), (4, "b"))) is None
    assert continued(4, written((0, "a"), (2, "b"), (4, "a"))) == "a"


def test_versions_that_executed_nothing_count_by_the_first_rule_only(ruled: tuple[Journal, int]) -> None:
    journal, rule = ruled
    between = written((0, "a"), (2, "b"), (2, "a"))
    assert journal.header.continued_versions(2, between) == ("a" if rule == 1 else None)
    assert journal.header.continued_versions(0, written((0, "a"), (0, "b"))) == "b"
    assert journal.header.continued_versions(0, written((0, "a"), (0, "b"), (0, "b"))) == (None if rule == 1 else "b")


@pytest.mark.parametrize("path", sorted(STORED.glob("*.journal")), ids=lambda path: path.stem)
def test_the_plan_is_read_of_journals_of_every_version(path: Path) -> None:
    with Journal.open(path) as journal:
        ((first, plan),) = journal.header.plans()
        assert first == 1
        assert journal.header.plan_at() == journal.header.plan_at(1) == plan
