"""The row of a snapshot is read back as it was, or not at all."""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest

from turnwise.core.snapshot import Snapshot
from turnwise.journal.file.format import BLOB_BYTES_MAX
from turnwise.journal.file.snapshot_row import MEMBERS, snapshot_of_row, snapshot_row

SMALL = Snapshot(7, 9, (3, 0), (7, 0), (0, 8), (1,), ((0, (4, 5, 8)), (1, (6,))))
LARGE = Snapshot(9, 500, (4,) * 300, (9,) * 300, (0,) * 300, (), ())


def read(row: list[object], agents: int = 2, messages: int = 9) -> Snapshot:
    round_, size, data = row
    assert type(round_) is int
    return snapshot_of_row(round_, size, data, agents=agents, messages=messages)


def test_it_is_read_back_and_compressed_where_that_is_shorter() -> None:
    assert read(snapshot_row(SMALL)) == SMALL
    _, size, data = snapshot_row(LARGE)
    assert isinstance(data, bytes)
    assert len(data) < 200
    assert size == len(zlib.decompress(data))
    assert read(snapshot_row(LARGE), 300, 500) == LARGE
    tiny = Snapshot(1, 0, (), (), (), (), ())
    _, size, data = snapshot_row(tiny)
    assert isinstance(data, bytes)
    assert read([1, size, data], 0, 0) == tiny
    plain = json.dumps(json.loads(zlib.decompress(snapshot_row(LARGE)[2]))).encode()  # type: ignore[arg-type]
    assert read([9, len(plain), plain], 300, 500) == LARGE


def edited(**changes: Any) -> list[object]:
    values = {"message_next": 9, "turns": [3, 0], "left": [7, 0], "wake_at": [0, 8], "stopped": [1], "unread": []}
    content = json.dumps(values | changes).encode()
    return [7, len(content), content]


def test_numbers_up_to_their_bounds_are_read() -> None:
    assert read(edited()).message_seq_next == 9
    assert read(edited(message_next=0)).message_seq_next == 0
    assert read(edited(unread=[[0, [[0, 8]]]])).unread == ((0, tuple(range(9))),)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([7, "1", b"{}"], "its columns are not those"),
        ([7, 2, "{}"], "its columns are not those"),
        ([7, 1, b"{}"], "its columns are not those"),
        ([7, BLOB_BYTES_MAX + 1, b"{}"], "its columns are not those"),
        ([7, 3, b"{}"], "it cannot be unpacked"),
        ([7, 999, zlib.compress(b"a" * 998)], "another size"),
        ([7, 997, zlib.compress(b"a" * 998)], "not JSON"),
        ([7, 3, b"{]}"], "not JSON"),
        ([7, 100_000, b"[" * 100_000], "not JSON"),
        ([7, 2, b"[]"], "its members are not"),
        ([7, 2, b"{}"], "its members are not"),
        (edited(more=1), "its members are not"),
        (edited(message_next=10), "its mail is not"),
        (edited(message_next=-1), "its mail is not"),
        (edited(message_next=True), "its mail is not"),
        (edited(unread={}), "its mail is not"),
        (edited(unread=[1]), "not pairs"),
        (edited(unread=[[0]]), "not pairs"),
        (edited(unread=[[0, [], 1]]), "not pairs"),
        (edited(unread=[["0", []]]), "not pairs"),
        (edited(unread=[[-1, [[1, 1]]]]), "an agent that is not there"),
        (edited(unread=[[0, [[0, 9]]]]), "more than|than"),
        *[(edited(**{name: {}}), "none, or too long") for name in MEMBERS[1:5]],
        *[(edited(**{name: [1, 1, 1]}), "none, or too long") for name in MEMBERS[1:5]],
        *[(edited(**{name: [-1]}), "not all numbers from 0") for name in MEMBERS[1:5]],
        *[(edited(**{name: [True]}), "not all numbers from 0") for name in MEMBERS[1:5]],
        *[(edited(**{name: ["1"]}), "not all numbers from 0") for name in MEMBERS[1:5]],
    ],
)
def test_what_is_no_snapshot_is_refused(row: list[object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read(row)


ASKED = Snapshot(7, 9, (3, 0), (7, 0), (0, 8), (1,), (), 4, ((0, 7), (1, 1)))


def test_questions_and_turns_that_wait_are_read_back_where_there_were_any() -> None:
    assert read(snapshot_row(ASKED)) == ASKED
    assert read(edited(question_next=1, waiting=[])).question_next == 1
    none = Snapshot(7, 9, (3, 0), (7, 0), (0, 8), (1,), ())
    asked = Snapshot(7, 9, (3, 0), (7, 0), (0, 8), (1,), (), 2)
    assert [b"waiting" in zlib.decompress(snapshot_row(each)[2]) for each in (none, asked)] == [False, True]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("question_next", "waiting", "said"),
    [
        (0, [], "its questions are not"),
        (True, [], "its questions are not"),
        (2, {}, "its questions are not"),
        (2, [7], "are not pairs of a place and a round"),
        (2, [{"a": 1, "b": 2}], "are not pairs"),
        (2, [[0]], "are not pairs"),
        (2, [[0, 1, 2]], "are not pairs"),
        (2, [[0, True]], "are not pairs"),
        (2, [["0", 1]], "are not pairs"),
        (2, [[-1, 1]], "it names a turn that cannot wait"),
        (2, [[2, 1]], "it names a turn that cannot wait"),
        (2, [[0, 0]], "it names a turn that cannot wait"),
        (2, [[0, 8]], "it names a turn that cannot wait"),
    ],
)
def test_questions_and_turns_that_cannot_be_are_none(question_next: object, waiting: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read(edited(question_next=question_next, waiting=waiting))
