"""A journal of a run that the core has played: its chains hold, and whatever is changed in them is found."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.core.test_machine import chatter, chatter_world, echo
from tests.journal.records import CODES
from turnwise.core.canonical import canonical
from turnwise.core.machine import Machine
from turnwise.core.plan_json import plan_to_json
from turnwise.core.state import first_agents
from turnwise.errors import JournalError
from turnwise.journal import Journal
from turnwise.sim import Simulation, simulate

WORLD = chatter_world(9, "rounds")
OTHERS = canonical({"turnwise": "another"})


def played(path: Path, versions: str = OTHERS) -> Simulation:
    """Play a run of which another process with other versions has the second half, and keep it."""
    first = simulate(WORLD, {"chatter": chatter}, answer=echo, rounds=6)
    machine = Machine(WORLD)
    machine.restore(first.rounds)
    if versions != "{}":
        machine.continued_by(versions)
    rest = simulate(WORLD, {"chatter": chatter}, answer=echo, machine=machine)
    with Journal.create(
        path, plan=plan_to_json(WORLD), info="{}", versions="{}", codes=CODES, agents=first_agents(WORLD)
    ) as journal:
        for record in first.rounds[:6]:
            journal.writer.commit(record)
    with Journal.open(path, write=True) as journal:
        journal.writer.resumed(versions=versions, info="{}")
        for record in rest.rounds:
            journal.writer.commit(record)
        assert rest.end is not None
        journal.writer.end(rest.end)
    return rest


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("chains") / "run.journal"
    played(path)
    return path.read_bytes()


@pytest.mark.parametrize("versions", ["{}", OTHERS])
def test_chains_of_an_honest_run_hold(tmp_path: Path, versions: str) -> None:
    rest = played(tmp_path / "run.journal", versions)
    with Journal.open(tmp_path / "run.journal") as journal:
        assert journal.chains.broken_link() is None
        journal.chains.check_links()
        journal.chains.check_contents()
        assert [record.round for record in journal.chains.rounds(3, 5)] == [3, 4, 5]
        assert [record.round for record in journal.chains.rounds(8)] == [8, 9, 10, 11, 12]
        assert journal.chains.follow(1).head == Machine(WORLD).head
        assert journal.chains.follow(13).head == rest.rounds[-1].head
        assert journal.check() == 12
        assert sum(len(record.spawned) for record in journal.rounds.between()) > 3
    machine = Machine(WORLD)
    with Journal.open(tmp_path / "run.journal") as journal:
        machine.restore(journal.rounds.between())
    assert machine.world.round == 12


def changed(folder: Path, whole: bytes, *statements: str) -> Path:
    path = folder / "changed.journal"
    path.write_bytes(whole)
    with closing(sqlite3.connect(path)) as database:
        before = database.total_changes
        for statement in statements:
            database.execute(statement)
        assert database.total_changes > before
        database.commit()
    return path


SOME = "randomblob(32)"


@pytest.mark.parametrize(
    ("statement", "round_", "what"),
    [
        (f"UPDATE rounds SET head = {SOME} WHERE round = 1", 1, "head"),
        (f"UPDATE rounds SET head = {SOME} WHERE round = 12", 12, "head"),
        (f"UPDATE rounds SET outcome = {SOME} WHERE round = 4", 4, "head"),
        ("UPDATE rounds SET outcome = X'00' WHERE round = 4", 4, "outcome"),
        ("UPDATE rounds SET outcome = 'text' WHERE round = 4", 4, "outcome"),
        ("UPDATE rounds SET outcome = NULL WHERE round = 4", 4, "outcome"),
        (f"UPDATE rounds SET state = {SOME} WHERE round = 4", 4, "head"),
        ("UPDATE rounds SET state = X'00' WHERE round = 4", 4, "outcome"),
        ("UPDATE rounds SET agents = agents + 1 WHERE round = 2", 2, "number of agents"),
        ("UPDATE rounds SET spawned = spawned + 1 WHERE round = 12", 12, "number of agents"),
        ("DELETE FROM rounds WHERE round = 1", 2, "head"),
        ("DELETE FROM rounds WHERE round = 7", 8, "head"),
        ("UPDATE ends SET reason = 'quiet'", 12, "how the run ended"),
        ("UPDATE ends SET message = 'other'", 12, "how the run ended"),
        ("UPDATE ends SET result = '1'", 12, "how the run ended"),
        (f"UPDATE ends SET head = {SOME}", 12, "how the run ended"),
        ("UPDATE ends SET head = NULL", 12, "how the run ended"),
        ("UPDATE ends SET round = 11", 11, "how the run ended"),
        ("UPDATE ends SET round = 0", 0, "how the run ended"),
        ("UPDATE ends SET round = 13", 13, "the run ended after a round that is not there"),
        ("DELETE FROM rounds WHERE round = 12", 12, "the run ended after a round that is not there"),
        ("UPDATE agents SET name = 'other' WHERE place = 0", 0, "spawned"),
        ("UPDATE agents SET args = '{\"a\":1}' WHERE place = 2", 0, "args"),
        ("UPDATE agents SET state = 'x' WHERE place = 1", 0, "first state"),
        ("UPDATE agents SET grants = '[]' WHERE place = 1", 0, "spawned"),
        ("UPDATE agents SET parent = 0 WHERE place = 1", 0, "spawned"),
        ("DELETE FROM agents WHERE place = 2", 0, "spawned"),
    ],
)
def test_a_broken_link_is_found(tmp_path: Path, whole: bytes, statement: str, round_: int, what: str) -> None:
    with Journal.open(changed(tmp_path, whole, statement)) as journal:
        found = journal.chains.broken_link()
        assert found is not None
        assert (found.round, found.what) == (round_, what)
        assert found.expected != found.actual
        with pytest.raises(JournalError, match="does not follow from the rest of the journal") as caught:
            journal.chains.check_links()
        assert (caught.value.expected, caught.value.actual) == (found.expected, found.actual)


@pytest.mark.parametrize(
    ("statement", "round_", "what"),
    [
        ("UPDATE messages SET body = body || '!' WHERE round = 5", 5, "outcome"),
        ("UPDATE turns SET state = 'x' WHERE round = 6 AND failure IS NULL", 6, "outcome"),
        ("UPDATE turns SET executions = executions + 1 WHERE round = 6", 6, "execution digest"),
        (f"UPDATE rounds SET execution = {SOME} WHERE round = 3", 3, "execution digest"),
        ('UPDATE writers SET versions = \'{"turnwise":"a third"}\' WHERE id = 2', 7, "execution digest"),
        ("UPDATE writers SET round = 7 WHERE id = 2", 7, "execution digest"),
        ("DELETE FROM writers WHERE id = 2", 7, "execution digest"),
    ],
)
def test_contents_that_do_not_follow_are_found_where_they_are_read(
    tmp_path: Path, whole: bytes, statement: str, round_: int, what: str
) -> None:
    with Journal.open(changed(tmp_path, whole, statement)) as journal:
        journal.chains.check_links()
        with pytest.raises(JournalError, match=f"round {round_}: {what}.* does not follow"):
            journal.chains.check_contents()
        assert [record.round for record in journal.chains.rounds(1, round_ - 1)] == [*range(1, round_)]
        follower = journal.chains.follow(round_)
        found = follower.broken(journal.rounds.round(round_))
        assert found is not None
        assert (found.round, found.what, found.agent) == (round_, what, None)
        assert found.expected != found.actual


def test_a_head_that_does_not_follow_is_found_with_the_content(tmp_path: Path, whole: bytes) -> None:
    path = changed(tmp_path, whole, f"UPDATE rounds SET head = {SOME} WHERE round = 4")
    with Journal.open(path) as journal, pytest.raises(JournalError, match="round 4: head"):
        journal.chains.check_contents()


def test_two_ends_are_both_compared(tmp_path: Path, whole: bytes) -> None:
    path = changed(tmp_path, whole, "INSERT INTO ends SELECT 9, 12, 'quiet', NULL, NULL, head FROM ends")
    with Journal.open(path) as journal:
        found = journal.chains.broken_link()
        assert found is not None
        assert found.what == "how the run ended"


def test_agents_that_came_in_another_round_are_damage(tmp_path: Path, whole: bytes) -> None:
    path = changed(tmp_path, whole, "UPDATE agents SET born = born - 1 WHERE place = 4")
    with Journal.open(path) as journal, pytest.raises(JournalError, match="holds agents of another round"):
        list(journal.rounds.between())
