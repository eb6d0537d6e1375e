"""The file by which messages and answers come into a run: durable, in order, each once, bounded."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from turnwise.errors import EnvironmentFailure, UsageError
from turnwise.journal.file.box_position import BoxPosition
from turnwise.orchestrator import outside_box
from turnwise.orchestrator.outside_box import (
    BoxedMessage,
    OutsideBox,
    box_path,
    discard,
    put_answer,
    put_message,
)
from turnwise.world.limits import BODY_BYTES_MAX


def bodies(box: OutsideBox) -> list[str]:
    """All messages that a box has not given yet."""
    found: list[str] = []
    while entries := box.take():
        found += [entry.body for entry in entries if isinstance(entry, BoxedMessage)]
    return found


def test_what_was_added_is_taken_once_and_in_order(tmp_path: Path) -> None:
    journal = tmp_path / "a.journal"
    box = OutsideBox(journal)
    assert box.take() == []
    assert box.position is None
    put_message(journal, "a", "one")
    put_message(journal, "b", "two\n\x00é")
    assert [(entry.to, entry.body) for entry in box.take() if isinstance(entry, BoxedMessage)] == [
        ("a", "one"),
        ("b", "two\n\x00é"),
    ]
    assert box.take() == []
    put_message(journal, "a", "three")
    assert bodies(box) == ["three"]
    assert bodies(OutsideBox(journal)) == ["one", "two\n\x00é", "three"]


def test_a_reader_goes_on_where_rounds_have_read(tmp_path: Path) -> None:
    journal = tmp_path / "a.journal"
    put_message(journal, "a", "one")
    box = OutsideBox(journal)
    assert bodies(box) == ["one"]
    read = box.position
    put_message(journal, "a", "two")
    assert bodies(OutsideBox(journal, read)) == ["two"]
    assert read is not None
    assert bodies(OutsideBox(journal, BoxPosition("another file", read.position))) == ["one", "two"]


def test_the_first_answer_counts(tmp_path: Path) -> None:
    journal = tmp_path / "a.journal"
    put_message(journal, "a", "between")
    assert put_answer(journal, 1, "hash", 3)
    assert not put_answer(journal, 1, "hash", 4)
    assert put_answer(journal, 1, "another", 4)


def test_a_file_that_was_read_is_replaced_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = tmp_path / "a.journal"
    monkeypatch.setattr(outside_box, "RENEW_BYTES_MIN", 300)
    box = OutsideBox(journal)
    for number in range(10):
        put_message(journal, "a", str(number))
    assert bodies(box) == [str(number) for number in range(10)]
    before, size = box.position, box_path(journal).stat().st_size
    assert before is not None
    put_message(journal, "a", "late")
    box.renew(BoxPosition(before.box, before.position - 1))  # not all of it is in rounds
    assert box_path(journal).stat().st_size > size
    box.renew(before)
    assert box_path(journal).stat().st_size < size
    assert bodies(box) == ["late"]
    assert bodies(OutsideBox(journal, before)) == ["late"]
    put_message(journal, "a", "later")
    assert bodies(box) == ["later"]
    assert box.position is not None
    assert box.position.box != before.box


def test_a_line_that_was_cut_off_costs_no_other(tmp_path: Path) -> None:
    journal = tmp_path / "a.journal"
    put_message(journal, "a", "one")
    with box_path(journal).open("ab") as file:
        file.write(b'{"to":"a","bo')
    box = OutsideBox(journal)
    assert bodies(box) == ["one"]
    put_message(journal, "a", "two")
    assert bodies(box) == ["two"]


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe",
        b"{}",
        b"[" * 100_000,
        b'{"to":"a","body":"x"}',
        b'{"to":"a","body":1,"token":"t"}',
        b'{"to":"' + b"a" * 257 + b'","body":"x","token":"t"}',
        b'{"to":"a","body":"\\ud800","token":"t"}',
        b'{"to":"a","body":"' + b"x" * (BODY_BYTES_MAX + 1) + b'","token":"t"}',
        b"x" * (outside_box.LINE_BYTES_MAX + 10),
    ],
)
def test_what_is_no_entry_is_passed_over(tmp_path: Path, line: bytes) -> None:
    journal = tmp_path / "a.journal"
    put_message(journal, "a", "one")
    with box_path(journal).open("ab") as file:
        file.write(line + b"\n")
    put_message(journal, "a", "two")
    assert bodies(OutsideBox(journal)) == ["one", "two"]


def test_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = tmp_path / "a.journal"
    with pytest.raises(UsageError, match="1,048,576"):
        put_message(journal, "a", "x" * (BODY_BYTES_MAX + 1))
    put_message(journal, "a", "x" * BODY_BYTES_MAX)
    assert [len(body) for body in bodies(OutsideBox(journal))] == [BODY_BYTES_MAX]
    monkeypatch.setattr(outside_box, "BOX_BYTES_MAX", box_path(journal).stat().st_size)
    with pytest.raises(EnvironmentFailure, match="no room"):
        put_message(journal, "a", "y")
    monkeypatch.setattr(outside_box, "ENTRIES_MAX", 2)
    monkeypatch.undo()
    for number in range(outside_box.ENTRIES_MAX + 1):
        put_message(journal, "a", str(number))
    box = OutsideBox(journal)
    assert len(box.take()) == outside_box.ENTRIES_MAX
    assert len(box.take()) == 2


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    journal, foreign = tmp_path / "a.journal", tmp_path / "foreign"
    foreign.write_text("precious")
    box_path(journal).symlink_to(foreign)
    with pytest.raises(EnvironmentFailure):
        put_message(journal, "a", "x")
    assert foreign.read_text() == "precious"


def test_what_is_left_of_a_run_that_is_gone_is_removed_and_that_of_another_is_not(tmp_path: Path) -> None:
    journal = tmp_path / "a.journal"
    put_message(journal, "a", "old")
    discard(journal)
    assert bodies(OutsideBox(journal)) == []
    put_message(journal, "a", "new")
    journal.touch()
    discard(journal)
    assert bodies(OutsideBox(journal)) == ["new"]


def _send(journal: Path, who: int, count: int) -> None:
    for number in range(count):
        put_message(journal, "a", f"{who}:{number}")


def test_many_senders_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = tmp_path / "a.journal"
    monkeypatch.setattr(outside_box, "RENEW_BYTES_MIN", 1_000)
    context = multiprocessing.get_context("spawn")
    senders = [context.Process(target=_send, args=(journal, who, 60)) for who in range(3)]
    for sender in senders:
        sender.start()
    box, found = OutsideBox(journal), []
    while any(sender.is_alive() for sender in senders):
        found += bodies(box)
        box.renew(box.position)
    found += bodies(box)
    for sender in senders:
        sender.join()
        assert sender.exitcode == 0
    for who in range(3):
        assert [body for body in found if body.startswith(f"{who}:")] == [f"{who}:{number}" for number in range(60)]
    assert len(found) == 180
    assert box_path(journal).stat().st_mode & 0o077 == 0
