"""The machine after any round is the same from a snapshot as from all rounds before it."""

from __future__ import annotations

import json
import shutil
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.core.test_machine import chatter, chatter_world, echo
from tests.journal.records import CODES
from turnwise.core import snapshot as snapshots
from turnwise.core.machine import Machine
from turnwise.core.plan_json import plan_to_json
from turnwise.core.state import first_agents
from turnwise.errors import JournalError
from turnwise.journal import Journal
from turnwise.journal.read import machine as module
from turnwise.sim import simulate

WORLD = chatter_world(9, "rounds")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 12 rounds with snapshots every few turns."""
    path = tmp_path_factory.mktemp("machine") / "run.journal"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(snapshots, "TURNS_MIN", 5)
        patched.setattr(snapshots, "TURNS_PER_AGENT", 1)
        machine = Machine(WORLD)
        with Journal.create(
            path, plan=plan_to_json(WORLD), info="{}", versions="{}", codes=CODES, agents=first_agents(WORLD)
        ) as journal:
            while machine.end is None:
                for record in simulate(WORLD, {"chatter": chatter}, answer=echo, machine=machine, rounds=1).rounds:
                    taken = snapshots.take(machine.world) if record.state is not None else None
                    journal.writer.commit(record, snapshot=taken)
    with Journal.open(path) as journal:
        assert len(list(journal.snapshots.all())) >= 3
    return path


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "TURNS_MIN", 5)
    monkeypatch.setattr(snapshots, "TURNS_PER_AGENT", 1)


def known(machine: Machine) -> tuple[object, ...]:
    return machine.head, machine.execution, machine.world.round, snapshots.digest(machine.world)


@pytest.mark.parametrize(("at_once", "near"), [(500, 8), (1, 8), (2, 0), (500, 0)])
def test_the_machine_after_a_round_is_the_same(
    whole: Path, monkeypatch: pytest.MonkeyPatch, at_once: int, near: int
) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", at_once)
    monkeypatch.setattr(module, "_NEAR", near)
    with Journal.open(whole) as journal:
        records = list(journal.rounds.between())
        used = set()
        for last in range(13):
            expected = Machine(WORLD)
            expected.restore(records[:last])
            found = journal.machine.at(last)
            assert known(found) == known(expected)
            latest = journal.snapshots.latest(last)
            used.add(None if latest is None else latest.round)
        assert known(journal.machine.at()) == known(found)
        assert len(used) >= 3
        assert None in used
        journal.machine.check_snapshots()
        assert journal.check() == 12


def edited(whole: Path, folder: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    path = folder / "edited.journal"
    shutil.copyfile(whole, path)
    with closing(sqlite3.connect(path)) as database:
        number, size, data = database.execute("SELECT * FROM snapshots ORDER BY round DESC LIMIT 1").fetchone()
        values = json.loads(data if len(data) == size else zlib.decompress(data))
        edit(values)
        content = json.dumps(values).encode()
        database.execute("UPDATE snapshots SET size = ?, data = ? WHERE round = ?", (len(content), content, number))
        database.commit()
    return path


EDITS: dict[str, Callable[[dict[str, Any]], object]] = {
    "turns": lambda values: values["turns"].__setitem__(0, values["turns"][0] + 1),
    "wake_at": lambda values: values["wake_at"].__setitem__(-1, 99),
}


@pytest.mark.parametrize("what", EDITS)
def test_a_snapshot_that_is_another_state_is_refused(whole: Path, tmp_path: Path, what: str) -> None:
    with Journal.open(edited(whole, tmp_path, EDITS[what])) as journal:
        with pytest.raises(JournalError, match="is not the state that the run's head names") as caught:
            journal.machine.check_snapshots()
        assert "DROP TABLE snapshots" in str(caught.value.hint)
        assert caught.value.expected != caught.value.actual
        with pytest.raises(JournalError, match="is not the state that the run's head names"):
            journal.machine.at()


UNUSABLE: dict[str, Callable[[dict[str, Any]], object]] = {
    "fewer agents": lambda values: values["left"].pop(),
    "fewer messages": lambda values: values.__setitem__("message_next", values["message_next"] - 1),
    "a round in which it had no turn": lambda values: values["left"].__setitem__(0, 1_000),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_a_snapshot_that_cannot_be_used_is_passed_over_and_told(whole: Path, tmp_path: Path, what: str) -> None:
    with Journal.open(whole) as journal:
        expected = known(journal.machine.at())
    with Journal.open(edited(whole, tmp_path, UNUSABLE[what])) as journal:
        assert known(journal.machine.at()) == expected
        with pytest.raises(JournalError, match=r"head names: (it is not of|place 0 left|message \d+ does not)"):
            journal.machine.check_snapshots()


def test_snapshots_are_found_by_round(whole: Path, tmp_path: Path) -> None:
    with Journal.open(whole) as journal:
        numbers = [snapshot.round for snapshot in journal.snapshots.all()]
        assert numbers == sorted(numbers)
        for number in range(13):
            before = [one for one in numbers if one <= number]
            latest = journal.snapshots.latest(number)
            assert (latest.round if latest else None) == (before[-1] if before else None)
            assert (journal.snapshots.of(number) is not None) is (number in numbers)
        assert journal.snapshots.kept
    path = tmp_path / "without.journal"
    shutil.copyfile(whole, path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TABLE snapshots")
    with Journal.open(path) as journal:
        assert not journal.snapshots.kept
        assert (list(journal.snapshots.all()), journal.snapshots.latest(12), journal.snapshots.of(5)) == (
            [],
            None,
            None,
        )
        assert journal.machine.at().world.round == 12


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE snapshots SET round = 1000", "there is a snapshot of round 1000, and no such round"),
        ("UPDATE snapshots SET size = 'x'", "its columns are not those of a snapshot"),
        ("UPDATE snapshots SET data = 'x'", "its columns are not those of a snapshot"),
    ],
)
def test_a_row_that_cannot_be_a_snapshot_is_damage(whole: Path, tmp_path: Path, statement: str, said: str) -> None:
    path = tmp_path / "changed.journal"
    shutil.copyfile(whole, path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("DELETE FROM snapshots WHERE round < (SELECT max(round) FROM snapshots)")
        database.execute(statement)
        database.commit()
    with Journal.open(path) as journal:
        with pytest.raises(JournalError, match=said):
            list(journal.snapshots.all())
        assert journal.machine.at().world.round == 12
