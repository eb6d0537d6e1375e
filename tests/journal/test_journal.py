"""What is committed is read back, whatever it is, and by whom."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings

from tests.journal.records import CODES, runs_of_rounds
from turnwise.core.records import AgentRecord, RoundRecord
from turnwise.journal import Journal


def exactly(value: object) -> str:
    """A text that tells 1 from 1.0 and -0.0 from 0.0, which `==` does not."""
    return repr(value)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(runs_of_rounds())
def test_what_was_committed_is_read_again_exactly(run: tuple[tuple[AgentRecord, ...], list[RoundRecord]]) -> None:
    beginning, rounds = run
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.journal"
        with Journal.create(path, plan="p", info="i", versions="v", codes=CODES, agents=beginning) as journal:
            for record in rounds:
                journal.commit(record)
            assert exactly(list(journal.rounds())) == exactly(rounds)
        assert os.listdir(folder) == ["run.journal"]
        with Journal.open(path) as journal:
            assert exactly(list(journal.rounds())) == exactly(rounds)
            assert list(journal.agents(0)) == list(beginning)
            assert list(journal.agents()) == [*beginning, *(agent for record in rounds for agent in record.spawned)]
            assert [
                (number, turn) for record in rounds for number, turn in ((record.round, t) for t in record.turns)
            ] == (list(journal.turns()))
            assert list(journal.messages()) == [m for r in rounds for m in (*r.inputs, *r.messages)]
            assert journal.head == (rounds[-1].head if rounds else None)
