"""What a turn sends is stored as its messages only: a round in which the two differ is refused before it is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.journal.records import create, simple
from turnwise.errors import InvariantError


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"body": "another"}, "not among those"),
        ({"to": "a-0"}, "not among those"),
        ({"sender": 2}, "not among those"),
        ({"round": 2}, "a wrong round"),
    ],
)
def test_a_message_that_its_turn_did_not_send(tmp_path: Path, change: dict[str, object], what: str) -> None:
    record = simple(1)
    first, *rest = record.messages
    with create(tmp_path / "run.journal") as journal:
        with pytest.raises(InvariantError, match=what):
            journal.writer.commit(replace(record, messages=(replace(first, **change), *rest)))  # type: ignore[arg-type]
        journal.writer.commit(record)
        assert list(journal.rounds.between()) == [record]


def test_messages_that_no_turn_sent_or_that_are_missing(tmp_path: Path) -> None:
    record = simple(1)
    last = record.messages[-1]
    with create(tmp_path / "run.journal") as journal:
        for messages in ((*record.messages, replace(last, seq=last.seq + 1)), record.messages[:-1], ()):
            with pytest.raises(InvariantError, match=r"no turn sent|not among"):
                journal.writer.commit(replace(record, messages=messages))
        journal.writer.commit(record)
        assert list(journal.rounds.between()) == [record]
