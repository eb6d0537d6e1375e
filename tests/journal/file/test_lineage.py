"""A fork is read as one run with its ancestors, found where they are, and only if they are the ones."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.core.worlds import kind, plan
from tests.journal.records import CODES, agents, chain, simple
from turnwise.core.events import Input
from turnwise.core.head import genesis
from turnwise.core.plan_json import plan_to_json
from turnwise.core.records import AgentRecord, EndRecord, RoundRecord
from turnwise.errors import JournalError
from turnwise.journal import CodeSource, Journal
from turnwise.journal.file import lineage
from turnwise.journal.file.lineage import ANCESTORS_MAX, DEPTH_MAX
from turnwise.journal.file.parent import Parent

LONG = 2_000  # characters: texts of this length are stored once, in `blobs`


def round_(number: int, size: int = 100) -> RoundRecord:
    """Rounds 2 and 4 have a child each."""
    record = simple(number, size=size)
    if number % 2:
        return record
    place = 2 + number // 2
    born = AgentRecord(place, f"n-{place}", "a", "{}", "", number, 0, ("a",))
    return replace(record, spawned=(born,))


def run(path: Path, rounds: int = 4, name: str = "w") -> Path:
    """A journal of some rounds, and an end."""
    world = plan([kind("a")], ["a-0:a", "a-1:a", "a-2:a"], name=name)
    with Journal.create(
        path, plan=plan_to_json(world), info='{"first":1}', versions="{}", codes=CODES, agents=agents(3)
    ) as journal:
        for number in range(1, rounds + 1):
            record = round_(number, LONG if number == 2 else 100)
            journal.writer.commit(record if name == "w" else replace(record, head=chain(name, number)))
        journal.writer.end(EndRecord("quiet", rounds, None))
    return path


def fork(parent: Path, at: int, path: Path, *rounds: int, codes: Mapping[str, object] | None = None) -> Path:
    """A fork that plays some rounds otherwise."""
    with Journal.open(parent) as old:
        point, depth = old.fork_point(at, path)
    new = Journal.create_fork(
        path,
        parent=point,
        info="{}",
        versions="{}",
        codes=codes or {},
        coming={},
        depth=depth,  # type: ignore[arg-type]
    )
    with new:
        for number in rounds:
            new.writer.commit(round_(number, LONG + 1))
    return path


def shown(path: Path, **options: object) -> tuple[object, ...]:
    with Journal.open(path, **options) as journal:  # type: ignore[arg-type]
        assert journal.check() == len(list(journal.rounds.between()))
        header = journal.header
        return (
            header.plan,
            header.codes,
            [writer.round for writer in header.writers()],
            list(journal.queries.agents()),
            list(journal.rounds.between()),
            list(journal.queries.messages()),
        )


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    return run(tmp_path / "parent.journal")


@pytest.mark.parametrize("at", [0, 1, 2, 3, 4])
def test_a_fork_shows_what_its_parent_had_and_what_came_then(parent: Path, tmp_path: Path, at: int) -> None:
    found = fork(parent, at, tmp_path / "fork.journal", at + 1, at + 2)
    before = shown(parent)
    with Journal.open(found) as journal:
        assert journal.parent is not None
        assert journal.rounds.end_record is None
        assert list(journal.rounds.between()) == [
            *[round_(number, LONG if number == 2 else 100) for number in range(1, at + 1)],
            round_(at + 1, LONG + 1),
            round_(at + 2, LONG + 1),
        ]
        assert len(list(journal.queries.agents())) == 3 + (at + 2) // 2
        assert [writer.round for writer in journal.header.writers()] == [0, at]
        assert set(journal.header.codes) == set(CODES)
        assert journal.header.plan == before[0]
    with_its_parent = shown(found)
    assert Journal.detach(found) == 1
    parent.unlink()
    assert shown(found) == with_its_parent
    with Journal.open(found) as journal:
        assert journal.parent is None
    assert Journal.detach(found) == 0


def test_a_fork_of_a_journal_of_an_older_rule_is_found(parent: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(parent)) as database:
        database.execute("DELETE FROM meta WHERE name = 'chains'")
        database.commit()
    child = fork(parent, 0, tmp_path / "child.journal", 1)
    with Journal.open(child) as journal:
        assert journal.header.rule == 1
        assert journal.parent is not None
        assert journal.parent.head == genesis(journal.header.plan_at(), 1) != genesis(journal.header.plan_at())


@pytest.mark.parametrize("at", [0, 1, 2, 3, 4])
def test_where_a_fork_leaves_is_counted(parent: Path, tmp_path: Path, at: int) -> None:
    with Journal.open(parent) as journal:
        point, depth = journal.fork_point(at, tmp_path / "folder" / "fork.journal")
        head = journal.chains.follow(at + 1).head
    with closing(sqlite3.connect(parent)) as database:
        blobs = database.execute("SELECT max(id) FROM blobs").fetchone()[0]
    assert depth == 1
    assert point == Parent("../parent.journal", head, at, 3 + at // 2, 3 * at, blobs, 1)


def test_a_fork_of_a_fork_leaves_the_file_that_holds_the_round(parent: Path, tmp_path: Path) -> None:
    child = fork(parent, 2, tmp_path / "child.journal", 3, 4)
    with Journal.open(child) as journal:
        early, one = journal.fork_point(1, tmp_path / "x.journal")
        there, same = journal.fork_point(2, tmp_path / "x.journal")
        late, two = journal.fork_point(3, tmp_path / "x.journal")
    assert (early.path, one) == ("parent.journal", 1)
    assert (there.path, same) == ("parent.journal", 1)
    assert (late.path, two) == ("child.journal", 2)
    assert (early.agents, early.messages, early.writers) == (3, 3, 1)
    assert (late.agents, late.messages, late.writers) == (4, 9, 2)
    assert late.blobs > there.blobs
    grandchild = fork(child, 3, tmp_path / "grandchild.journal", 4)
    assert [len(record.turns[0].output.state) for record in shown(grandchild)[4]] == [  # type: ignore[attr-defined]
        100,
        LONG,
        LONG + 1,
        LONG + 1,
    ]
    whole = shown(grandchild)
    assert Journal.detach(grandchild) == 2
    child.unlink()
    parent.unlink()
    assert shown(grandchild) == whole


@pytest.mark.parametrize("which", ["parent", "fork", "both"])
def test_a_fork_is_made_whole_without_what_either_lacks(parent: Path, tmp_path: Path, which: str) -> None:
    child = fork(parent, 2, tmp_path / "child.journal", 3)
    before = shown(child)
    for path in (parent, child):
        if which in ("both", "parent" if path == parent else "fork"):
            with closing(sqlite3.connect(path)) as database:
                database.execute("DROP TABLE timings")
    assert shown(child) == before
    assert Journal.detach(child) == 1
    parent.unlink()
    assert shown(child) == before


def test_a_fork_is_made_whole_where_there_would_be_too_many_ancestors(parent: Path, tmp_path: Path) -> None:
    files = [parent]
    for number in range(DEPTH_MAX + 1):
        files.append(fork(files[-1], 4 + number, tmp_path / f"{number}.journal", 5 + number))
    parents = []
    for path in files:
        with Journal.open(path) as journal:
            parents.append(journal.parent is not None)
            assert len(list(journal.rounds.between())) == 4 + len(parents) - 1
    assert parents == [False, *[True] * DEPTH_MAX, False]


@pytest.mark.parametrize("where", ["beside", "folder", "file"])
def test_a_parent_that_was_moved_is_found(parent: Path, tmp_path: Path, where: str) -> None:
    (tmp_path / "forks").mkdir()
    child = fork(parent, 2, tmp_path / "forks" / "child.journal", 3)
    before = shown(child)
    elsewhere = tmp_path / "forks" if where == "beside" else tmp_path / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    run(elsewhere / "another.journal", name="another")
    (elsewhere / "note.txt").write_text("no journal")
    moved = parent.rename(elsewhere / ("parent.journal" if where == "beside" else "renamed.journal"))
    if where == "beside":
        assert shown(child) == before
        return
    with pytest.raises(JournalError, match=r"that it was forked from is not there: .*parent\.journal") as lost:
        shown(child)
    assert "--parent PATH" in str(lost.value.hint)
    assert shown(child, parents=[elsewhere if where == "folder" else moved]) == before


def test_only_so_many_files_of_a_folder_are_looked_at(
    parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = fork(parent, 2, tmp_path / "child.journal", 3)
    (tmp_path / "elsewhere").mkdir()
    parent.rename(tmp_path / "elsewhere" / "moved.journal")
    (tmp_path / "elsewhere" / "folder.journal").mkdir()
    shown(child, parents=[tmp_path / "elsewhere"])
    monkeypatch.setattr(lineage, "SEARCHED_MAX", 0)
    with pytest.raises(JournalError, match="is not there"):
        shown(child, parents=[tmp_path / "elsewhere"])


def test_a_file_that_is_another_run_is_not_taken_for_the_parent(parent: Path, tmp_path: Path) -> None:
    child = fork(parent, 2, tmp_path / "child.journal", 3)
    first = fork(parent, 0, tmp_path / "first.journal", 1)
    parent.unlink()
    run(parent, rounds=1, name="another")
    for path, at in ((child, 2), (first, 0)):
        with pytest.raises(JournalError, match=rf"after round {at}, .*parent.journal is not the run that was forked"):
            shown(path)
    parent.write_bytes(b"no journal at all")
    with pytest.raises(JournalError, match="not a journal"):
        shown(child)


def change_parent(file: Path, **changes: object) -> None:
    with closing(sqlite3.connect(file)) as database:
        (text,) = database.execute("SELECT value FROM meta WHERE name = 'parent'").fetchone()
        changed = replace(Parent.from_json(text), **changes)  # type: ignore[arg-type]
        database.execute("UPDATE meta SET value = ? WHERE name = 'parent'", (changed.to_json(),))
        database.commit()


@pytest.mark.parametrize("at", [0, 2])
@pytest.mark.parametrize("by", [-1, 1])
def test_the_number_of_agents_must_be_that_of_the_round(parent: Path, tmp_path: Path, at: int, by: int) -> None:
    child = fork(parent, at, tmp_path / "child.journal")
    change_parent(child, agents=3 + at // 2 + by)
    with pytest.raises(JournalError, match="the agents of its parent do not count on"):
        shown(child)


def test_a_journal_that_goes_back_to_itself_is_damaged(parent: Path, tmp_path: Path) -> None:
    child = fork(parent, 2, tmp_path / "child.journal", 3)
    change_parent(child, path="child.journal", head=round_(3).head, round=3, agents=4)
    with pytest.raises(JournalError, match="goes back over more journals than there can be") as caught:
        shown(child)
    assert caught.value.expected == ANCESTORS_MAX


@pytest.mark.parametrize("text", ["", "{}", "[]"])
def test_what_is_said_of_a_parent_must_be_that(parent: Path, tmp_path: Path, text: str) -> None:
    child = fork(parent, 2, tmp_path / "child.journal", 3)
    with closing(sqlite3.connect(child)) as database:
        database.execute("UPDATE meta SET value = ? WHERE name = 'parent'", (text,))
        database.commit()
    with pytest.raises(JournalError, match="what it says of its parent cannot be read") as caught:
        shown(child)
    assert caught.value.actual == text


def test_codes_of_a_fork_are_kept_with_those_of_its_parent(parent: Path, tmp_path: Path) -> None:
    code = CodeSource("module", "b.wat", (("b.wat", b"(module)"), ("c.wat", b"x" * LONG)))
    child = fork(parent, 2, tmp_path / "child.journal", 3, codes={"dd" * 32: code})
    for _ in range(2):
        with Journal.open(child) as journal:
            assert dict(journal.header.codes) == {**CODES, "dd" * 32: code}
        Journal.detach(child)


def test_what_comes_is_kept_by_its_round(parent: Path, tmp_path: Path) -> None:
    path = tmp_path / "fork.journal"
    with Journal.open(parent) as old:
        point, _ = old.fork_point(2, path)
    coming = {3: [Input("a-0", "short"), Input("a-1", "x" * LONG)], 5: [Input("a-2", "later")]}
    Journal.create_fork(path, parent=point, info="{}", versions="{}", codes={}, coming=coming).close()
    with Journal.open(path) as journal:
        assert {
            number: [(entry.to, entry.body) for entry in entries]  # type: ignore[union-attr]
            for number, entries in journal.rounds.coming(1).items()
        } == {number: [(entry.to, entry.body) for entry in entries] for number, entries in coming.items()}


def test_files_of_a_folder_that_nobody_has_named_are_no_reason(parent: Path, tmp_path: Path) -> None:
    child = fork(parent, 2, tmp_path / "child.journal", 3)
    parent.unlink()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "damaged.journal").write_text("no journal")
    run(elsewhere / "another.journal", name="another")
    with pytest.raises(JournalError, match=r"is not there: .*, and none of 1 others that were looked at has its head"):
        shown(child, parents=[elsewhere])
    with pytest.raises(JournalError, match=r"another\.journal is not the run that was forked"):
        shown(child, parents=[elsewhere / "another.journal"])


def test_a_lineage_names_where_each_left_the_other(parent: Path, tmp_path: Path) -> None:
    child = fork(parent, 2, tmp_path / "child.journal", 3, 4)
    grandchild = fork(child, 3, tmp_path / "grandchild.journal", 4)
    with Journal.open(grandchild) as journal:
        assert [(point.path, point.round) for point in journal.lineage] == [("child.journal", 3), ("parent.journal", 2)]
        assert journal.lineage[0] == journal.parent
    with Journal.open(parent) as journal:
        assert journal.lineage == []
