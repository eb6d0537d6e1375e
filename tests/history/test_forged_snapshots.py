"""A snapshot is never trusted beyond what the chain proves: whatever is changed in one is noticed."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import turnwise
from tests.history.forger import changed, edited_snapshot, rechained, without_snapshots
from tests.orchestrator.worlds import lively
from turnwise.core import snapshot
from turnwise.core.snapshot import digest
from turnwise.errors import JournalError, TurnwiseError
from turnwise.journal import Journal

TURNS = 128
"""Turns from one snapshot to the next here: an eighth of what they are, and so are the rounds."""

ROUNDS = 60
"""Rounds of the run: a few more than those up to its second snapshot."""


@pytest.fixture(scope="module", autouse=True)
def snapshots_are_soon_due() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot, "TURNS_MIN", TURNS)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("snapshots") / "whole.journal"
    turnwise.run(lively(rounds_max=ROUNDS), journal=path).close()
    with Journal.open(path) as journal:
        assert len(list(journal.snapshots.all())) >= 2
    return path


@pytest.fixture(scope="module")
def left(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, killed after its last round but one."""
    path = Path(shutil.copy(whole, tmp_path_factory.mktemp("left")))
    cut(path, ROUNDS - 1)
    return path


def cut(path: Path, last: int) -> None:
    """Take the rounds after one away, as if the run had been killed there."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        (after,) = connection.execute(
            "SELECT coalesce(min(message_first), 1 << 60) FROM rounds WHERE round > ?", (last,)
        ).fetchone()
        connection.execute("DELETE FROM messages WHERE seq >= ?", (after,))
        connection.execute("DELETE FROM agents WHERE born > ?", (last,))
        for table in ("rounds", "turns", "logs", "records", "stops", "effects", "timings", "snapshots", "ends"):
            connection.execute(f"DELETE FROM {table} WHERE round > ?", (last,))


def test_an_honest_journal_passes(whole: Path) -> None:
    with turnwise.open(whole) as run:
        run.check()
    assert turnwise.replay(whole, workers=1).difference is None


def test_the_machine_at_any_round_is_that_of_all_rounds_before(whole: Path, tmp_path: Path) -> None:
    without = changed(whole, tmp_path, "DELETE FROM snapshots")
    with Journal.open(whole) as journal, Journal.open(without) as other:
        kept = [kept.round for kept in journal.snapshots.all()]
        last = journal.rounds.last_round
        for round_ in (0, 1, kept[0] - 1, kept[0], kept[0] + 1, kept[-1], last):
            machine, plain = journal.machine.at(round_), other.machine.at(round_)
            assert machine.head == plain.head
            assert machine.execution == plain.execution
            assert machine.world.round == round_
            assert [agent.state for agent in machine.world.agents] == [agent.state for agent in plain.world.agents]


@pytest.mark.parametrize("drop", [False, True])
def test_a_run_is_resumed_to_the_same_head(whole: Path, tmp_path: Path, drop: bool) -> None:
    path = Path(shutil.copy(whole, tmp_path))
    with Journal.open(path) as journal:
        *_, before, latest = [kept.round for kept in journal.snapshots.all()]
    cut(path, latest - 3)
    if drop:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("DROP TABLE snapshots")
    with turnwise.resume(path, workers=1).result() as resumed, turnwise.open(whole) as run:
        assert resumed.head == run.head
        resumed.check()
    with Journal.open(path) as journal:
        made = [kept.round for kept in journal.snapshots.all()]
        assert made[-2:] == ([] if drop else [before, latest])


EDITS: dict[str, Callable[[dict[str, Any]], object]] = {
    "message_next": lambda numbers: numbers.update(message_next=numbers["message_next"] - 1),
    "turns": lambda numbers: numbers["turns"].__setitem__(0, numbers["turns"][0] + 1),
    "left": lambda numbers: numbers["left"].__setitem__(0, numbers["left"][0] - 1),
    "wake_at": lambda numbers: numbers["wake_at"].__setitem__(0, numbers["wake_at"][0] + 1),
    "stopped": lambda numbers: numbers["stopped"].append(0),
    "unread": lambda numbers: numbers["unread"].pop(),
    "fewer agents": lambda numbers: [numbers[name].pop() for name in ("turns", "left", "wake_at")],
    "no such agent": lambda numbers: numbers["unread"].append([10**6, [[0, 0]]]),
    "no such message": lambda numbers: numbers["unread"][0].__setitem__(1, [[0, 10**15]]),
    "another member": lambda numbers: numbers.update(more=1),
    "no number": lambda numbers: numbers["turns"].__setitem__(0, "x"),
}


CONTRADICTIONS = ("turns", "left", "wake_at", "stopped", "unread")
"""Those of a snapshot that could be, but is not the state that the head names. The others cannot be used at all."""


@pytest.mark.parametrize("what", EDITS)
def test_a_snapshot_that_was_changed_is_noticed(whole: Path, left: Path, tmp_path: Path, what: str) -> None:
    forged = edited_snapshot(left, tmp_path, EDITS[what])
    with turnwise.open(forged) as run, pytest.raises(JournalError, match="snapshot"):
        run.check()
    found: object
    try:
        found = turnwise.replay(forged, workers=1).difference
    except JournalError as error:
        found = error
    assert "snapshot" in str(found)
    if what in CONTRADICTIONS:
        with pytest.raises(JournalError, match="snapshot"):
            turnwise.resume(forged, workers=1).result()
    else:
        with turnwise.resume(forged, workers=1).result() as resumed, turnwise.open(whole) as run:
            assert resumed.head == run.head


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE snapshots SET round = round - 1",
        "UPDATE snapshots SET round = 1000000",
        "UPDATE snapshots SET size = size + 1",
        "UPDATE snapshots SET size = 1",
        "UPDATE snapshots SET data = substr(data, 1, 10)",
        "UPDATE snapshots SET data = 'text'",
    ],
)
def test_a_row_that_was_changed_is_noticed_and_not_needed(
    whole: Path, left: Path, tmp_path: Path, statement: str
) -> None:
    first = "(SELECT round FROM snapshots ORDER BY round DESC LIMIT 1)"
    forged = changed(left, tmp_path, f"{statement} WHERE round = {first}")
    with turnwise.open(forged) as run, pytest.raises(JournalError, match="snapshot"):
        run.check()
    with turnwise.resume(forged, workers=1).result() as resumed, turnwise.open(whole) as run:
        assert resumed.head == run.head


@pytest.mark.parametrize("column", ["kind", "grants", "name"])
def test_an_agent_that_was_changed_is_noticed_when_a_run_goes_on(left: Path, tmp_path: Path, column: str) -> None:
    value = """'["nobody"]'""" if column == "grants" else "(SELECT name FROM agents WHERE place = 0)"
    forged = changed(
        left,
        tmp_path,
        f"UPDATE agents SET {column} = {value} WHERE born = (SELECT min(born) FROM agents WHERE born > 0)",
    )
    with pytest.raises(TurnwiseError, match="does not follow"):
        turnwise.resume(forged, workers=1).result()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE rounds SET state = NULL WHERE state IS NOT NULL",
        "UPDATE rounds SET state = outcome WHERE state IS NOT NULL",
        "UPDATE rounds SET state = outcome WHERE round = 1",
        "UPDATE rounds SET state = 'text' WHERE round = 1",
    ],
)
def test_a_digest_that_was_changed_is_noticed_when_a_run_is_opened(whole: Path, tmp_path: Path, statement: str) -> None:
    with pytest.raises(JournalError):
        turnwise.open(changed(whole, tmp_path, statement))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE turns SET state = 'forged' WHERE round = 10 AND failure IS NULL",
        "UPDATE rounds SET state = NULL WHERE state IS NOT NULL",
        "UPDATE rounds SET state = outcome WHERE state IS NOT NULL",
    ],
)
def test_chains_that_are_made_anew_do_not_hide_another_state(whole: Path, tmp_path: Path, statement: str) -> None:
    forged = rechained(changed(whole, tmp_path, statement))
    turnwise.open(forged).close()
    assert turnwise.replay(forged, workers=1).difference is not None


def test_a_state_that_a_snapshot_rests_on_cannot_be_changed_before_it(left: Path, tmp_path: Path) -> None:
    """Resuming does not read the rounds before a snapshot, but the states that are still those of agents."""
    with Journal.open(left) as journal:
        *_, latest = journal.snapshots.all()
    place = next(place for place, left in enumerate(latest.left) if left)
    statement = f"UPDATE turns SET state = 'forged' WHERE round = {latest.left[place]} AND place = {place}"
    forged = changed(left, tmp_path, statement)
    with pytest.raises(JournalError):
        turnwise.resume(forged, workers=1).result()


# -- forks -----------------------------------------------------------------------------------------------------------

CHANGES: dict[str, dict[str, Any]] = {"unchanged": {}, "changed": {"messages": {}, "seed": 77}}


def begun(parent: Path, at: int, path: Path, steps: int, **changes: Any) -> Path:
    """A fork that was left after some rounds."""
    with turnwise.fork(parent, at, journal=path, workers=1, **changes) as live:
        for _ in range(steps):
            live.step()
    return path


def rounds_kept(path: Path) -> list[int]:
    with Journal.open(path) as journal:
        return [kept.round for kept in journal.snapshots.all()]


def used(path: Path) -> int:
    """Round of the snapshot from which a journal goes on; 0 for none."""
    with Journal.open(path) as journal:
        found = journal.snapshots.latest(journal.rounds.last_round)
        return found.round if found else 0


def check_stands(path: Path) -> None:
    """Compare where a fork goes on from a snapshot with where it stands after all rounds."""
    with Journal.open(path) as journal, Journal.open(without_snapshots(path, path.parent)) as other:
        assert other.snapshots.latest(other.rounds.last_round) is None
        machine, plain = journal.machine.at(), other.machine.at()
        assert machine.head == plain.head == journal.rounds.head
        assert machine.execution == plain.execution
        assert digest(machine.world) == digest(plain.world)


def check_resumed(path: Path, expected: str) -> None:
    """Resume a fork; it comes to the head, and a replay agrees."""
    with turnwise.resume(path, workers=1).result() as resumed:
        assert resumed.head == expected
        resumed.check()
    assert turnwise.replay(path, workers=1).difference is None


@pytest.fixture(scope="module")
def middles(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Forks of the run, with and without a change, that left it between its snapshots and went on behind the second."""
    folder = tmp_path_factory.mktemp("middles")
    *_, before, last = rounds_kept(whole)
    steps = last + 5 - before
    return {
        what: begun(whole, before + 2, folder / f"{what}.journal", steps, **changes)
        for what, changes in CHANGES.items()
    }


@pytest.mark.parametrize("after", [-1, 0, 3])
@pytest.mark.parametrize("what", CHANGES)
def test_a_fork_goes_on_from_a_snapshot_of_its_parent(whole: Path, tmp_path: Path, what: str, after: int) -> None:
    first, *_, last = kept = rounds_kept(whole)
    at = last + after
    with turnwise.fork(whole, at, journal=tmp_path / "played.journal", workers=1, **CHANGES[what]).result() as played:
        expected = played.head
    with turnwise.open(whole) as run:
        assert (expected == run.head) is (what == "unchanged")
    fork = begun(whole, at, tmp_path / "fork.journal", 4, **CHANGES[what])
    mine = [round_ for round_ in kept if round_ <= (at + 4 if what == "unchanged" else at)]
    assert rounds_kept(fork) == mine
    assert used(fork) == mine[-1] >= first
    check_stands(fork)
    if after == 0:
        with turnwise.resume(without_snapshots(fork, tmp_path), workers=1).result() as resumed:
            assert resumed.head == expected
    check_resumed(fork, expected)


@pytest.mark.parametrize("one", CHANGES)
@pytest.mark.parametrize("two", CHANGES)
def test_a_fork_of_a_fork_goes_on_from_a_snapshot(
    whole: Path, middles: dict[str, Path], tmp_path: Path, one: str, two: str
) -> None:
    *_, before, last = rounds_kept(whole)
    middle = middles[one]
    changes = CHANGES[two] | ({"seed": 78} if CHANGES[two] else {})
    with turnwise.fork(middle, last + 3, journal=tmp_path / "played.journal", workers=1, **changes).result() as played:
        expected = played.head
    fork = begun(middle, last + 3, tmp_path / "fork.journal", 3, **changes)
    detached = Path(shutil.copy(fork, tmp_path / "detached.journal"))
    turnwise.detach(detached)
    for path in (fork, detached):
        assert used(path) == (last if one == "unchanged" else before)
        check_stands(path)
    check_resumed(fork, expected)
    with turnwise.resume(detached, workers=1).result() as resumed:
        assert resumed.head == expected


def test_a_snapshot_after_a_change_is_passed_over(whole: Path, middles: dict[str, Path]) -> None:
    *_, before, last = rounds_kept(whole)
    fork = Path(shutil.copy(middles["changed"], middles["changed"].with_name("foreign.journal")))
    with closing(sqlite3.connect(fork, isolation_level=None)) as connection:
        connection.execute("ATTACH ? AS parent", (str(whole),))
        connection.execute("INSERT INTO snapshots SELECT * FROM parent.snapshots WHERE round = ?", (last,))
    assert used(fork) == before
    with turnwise.open(fork) as run, pytest.raises(JournalError, match="snapshot"):
        run.check()
    turnwise.resume(fork, workers=1).result().close()
