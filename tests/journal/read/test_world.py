"""Where agents stand after a round, in a fork that begins with changes from outside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.journal.file.test_lineage import LONG, round_, run
from turnwise.core.records import ChangeRecord, MessageRecord, RoundRecord, TurnRecord
from turnwise.core.turn import Failure, FailureClass, Send, TurnOutput
from turnwise.errors import JournalError
from turnwise.journal import Journal, Standing

STATES = [ChangeRecord("state", *given) for given in ((0, "given"), (0, "given again"), (1, "x" * LONG))]


def failed(number: int, place: int) -> RoundRecord:
    turn = TurnRecord(place, number, (), None, Failure(FailureClass.RAISED, "no"), (), "", 1, 1)
    return replace(round_(number), turns=(turn,), messages=(), spawned=())


@pytest.fixture
def fork(tmp_path: Path) -> Iterator[Journal]:
    """After round 3, agents 0 and 1 are given states, message 7 is dropped and agent 2 stopped; 0 fails in round 4."""
    path = tmp_path / "fork.journal"
    with Journal.open(run(tmp_path / "parent.journal")) as old:
        point, _ = old.fork_point(3, path)
    coming = {4: [*STATES, ChangeRecord("drop", 7, None), ChangeRecord("stop", 2, None)]}
    with Journal.create_fork(path, parent=point, info="{}", versions="{}", codes={}, coming=coming) as journal:
        journal.writer.commit(failed(4, 0))
        yield journal


def test_a_state_that_was_given_counts_from_its_round_on(fork: Journal) -> None:
    assert [fork.world.state_at(0, number)[:4] for number in (0, 1, 2, 3)] == ["", "1:0:", "2:0:", "3:0:"]
    assert fork.world.state_at(0, 4) == "given again"
    assert fork.world.state_at(1, 4) == "x" * LONG
    assert fork.world.state_at(2, 4)[:4] == "3:2:"
    assert [standing.state[:4] for standing in fork.world.standings(3)] == ["3:0:", "3:1:", "3:2:", ""]
    assert [standing.state[:5] for standing in fork.world.standings()] == ["given", "xxxxx", "3:2:s", ""]
    first = next(fork.world.standings())
    assert first == Standing(0, 4, "given again", 4, None)


def test_a_state_that_a_turn_left_later_counts(fork: Journal) -> None:
    turn = TurnRecord(0, 5, (), TurnOutput("its own", wake_in=3), None, (), "", 1, 1)
    fork.writer.commit(replace(failed(5, 0), turns=(turn,)))
    assert fork.world.state_at(0, 4) == "given again"
    assert fork.world.state_at(0, 5) == "its own"
    assert next(fork.world.standings()) == Standing(0, 5, "its own", 5, 3)
    with pytest.raises(JournalError, match="no agent with place 3 in round 1"):
        fork.world.state_at(3, 1)
    assert fork.world.state_at(3, 2) == ""


def test_a_message_that_was_dropped_waits_no_more(fork: Journal) -> None:
    def waiting(at_round: int | None = None) -> list[tuple[int, tuple[int, ...]]]:
        return [(pending.message.seq, pending.places) for pending in fork.world.pending(at_round)]

    assert waiting(3) == [(6, (1,)), (7, (2,)), (8, (0,))]
    assert waiting(4) == waiting() == [(6, (1,)), (8, (0,))]
    assert fork.queries.stopped(3) == frozenset()
    assert fork.queries.stopped(4) == {2}
    assert fork.check() == 4


def test_what_a_stopped_agent_was_sent_does_not_wait(fork: Journal) -> None:
    sent = MessageRecord(9, 5, 0, "all", "hi", (1, 2))
    turn = TurnRecord(0, 5, (8,), TurnOutput("", (Send("all", "hi"),)), None, (), "", 1, 1)
    fork.writer.commit(replace(failed(5, 0), turns=(turn,), messages=(sent,)))
    assert [(pending.message.seq, pending.places) for pending in fork.world.pending()] == [(6, (1,)), (9, (1,))]


def test_a_change_in_the_first_round_counts(tmp_path: Path) -> None:
    path = tmp_path / "fork.journal"
    with Journal.open(run(tmp_path / "parent.journal")) as old:
        point, _ = old.fork_point(0, path)
    coming = {1: [ChangeRecord("state", 0, "given"), ChangeRecord("state", 1, "given")]}
    with Journal.create_fork(path, parent=point, info="{}", versions="{}", codes={}, coming=coming) as journal:
        journal.writer.commit(failed(1, 0))
        assert [standing.state for standing in journal.world.standings()] == ["given", "given", ""]


def test_only_messages_that_were_dropped_wait_no_more(tmp_path: Path) -> None:
    path = tmp_path / "fork.journal"
    with Journal.open(run(tmp_path / "parent.journal")) as old:
        point, _ = old.fork_point(1, path)
    coming = {2: [ChangeRecord("state", 0, "given"), ChangeRecord("drop", 1, None)]}
    with Journal.create_fork(path, parent=point, info="{}", versions="{}", codes={}, coming=coming) as journal:
        journal.writer.commit(failed(2, 2))
        assert [pending.message.seq for pending in journal.world.pending()] == [0, 2]
