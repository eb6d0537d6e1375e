"""Contents that agents have put, as a journal has them, and what cannot be one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from tests.journal.records import chain, create
from turnwise.core.canonical import canonical
from turnwise.core.contents import Kept, handle_of, put_reply
from turnwise.core.envelope import error_reply
from turnwise.core.records import EffectRecord, RoundRecord, TurnRecord
from turnwise.core.turn import Failure, FailureClass, TurnOutput
from turnwise.errors import JournalError
from turnwise.journal import Journal

SMALL, LARGE, EMPTY = b"s", b"large " * 500, b""
REFUSED = error_reply("refused", "too much")


def put(index: int, content: bytes, *, refused: bool = False) -> EffectRecord:
    digest = sha256(content).hexdigest()
    request = canonical({"effect": "put", "bytes": len(content), "sha256": digest})
    handle = handle_of(b"h" * 32, bytes([index]) * 32, digest, len(content))
    return EffectRecord(index, "put", None, request, REFUSED if refused else put_reply(handle), None, content)


def turn(place: int, *effects: EffectRecord, failed: bool = False) -> TurnRecord:
    failure = Failure(FailureClass.RAISED, "it failed") if failed else None
    return TurnRecord(place, 1, (), None if failed else TurnOutput("s"), failure, effects, "", 1, 1)


def kept(round_: int, place: int, effect: EffectRecord) -> Kept:
    assert effect.content is not None
    return Kept(sha256(effect.content).hexdigest(), len(effect.content), round_, place, effect.index)


OTHER = EffectRecord(1, "generate", "m", "{}", "{}")
FIRST, SECOND, NOTHING, LOST, TOO_MUCH, LATER = (
    put(0, SMALL),
    put(2, LARGE),
    put(3, EMPTY),
    put(0, b"of a turn that failed"),
    put(0, b"refused", refused=True),
    put(0, LARGE),
)


def round_of(number: int, *turns: TurnRecord) -> RoundRecord:
    return RoundRecord(number, turns, (), (), (), (), chain("h", number), chain("e", number))


ROUNDS = (
    round_of(1, turn(0, FIRST, OTHER, SECOND, NOTHING), turn(1, LOST, failed=True), turn(2, TOO_MUCH)),
    round_of(4, turn(1, LATER)),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("contents") / "run.journal"
    with create(found) as journal:
        for record in ROUNDS:
            journal.writer.commit(record)
    return found


def changed(path: Path, folder: Path, *statements: str) -> Path:
    """Change a copy of a journal."""
    copied = folder / "changed.journal"
    copied.write_bytes(path.read_bytes())
    with closing(sqlite3.connect(copied)) as connection, connection:
        for statement in statements:
            connection.execute(statement)
    return copied


def blob_of(path: Path, round_: int, place: int, nr: int) -> int:
    with closing(sqlite3.connect(path)) as connection:
        row = connection.execute(
            "SELECT blob FROM contents WHERE (round, place, nr) = (?, ?, ?)", (round_, place, nr)
        ).fetchone()
    return int(row[0])


def test_contents_are_read_by_the_effect_that_put_them(path: Path) -> None:
    with Journal.open(path) as journal:
        contents = journal.contents
        assert contents.any is True
        for effect in (FIRST, SECOND, NOTHING):
            assert contents.read(kept(1, 0, effect)) == effect.content
        assert contents.read(kept(4, 1, LATER)) == LARGE
        with pytest.raises(JournalError, match="the content that place 0 put in round 2 is missing"):
            contents.read(kept(2, 0, FIRST))
        with pytest.raises(JournalError, match="the content that place 0 put in round 1 is another"):
            contents.read(kept(1, 0, put(0, b"other")))
        contents.check()


def test_equal_contents_are_stored_once(path: Path) -> None:
    assert blob_of(path, 1, 0, 2) == blob_of(path, 4, 1, 0) != blob_of(path, 1, 0, 0)


def test_what_turns_put_that_did_not_fail_is_listed_in_order(path: Path) -> None:
    first = [(1, 0, effect.index, effect.request, effect.reply) for effect in (FIRST, SECOND, NOTHING)]
    first.append((1, 2, 0, TOO_MUCH.request, REFUSED))
    with Journal.open(path) as journal:
        assert journal.contents.puts(0) == []
        assert journal.contents.puts(1) == journal.contents.puts(3) == first
        assert journal.contents.puts(4) == [*first, (4, 1, 0, LATER.request, LATER.reply)]


def test_a_journal_without_contents_has_none(tmp_path: Path) -> None:
    with create(tmp_path / "run.journal") as journal:
        journal.writer.commit(round_of(1, turn(0)))
        assert journal.contents.any is False
        assert (journal.contents.puts(9), journal.contents.withheld()) == ([], set())
        journal.contents.check()
    with Journal.open(Path(__file__).parents[1] / "formats" / "format-2.journal") as journal:
        assert journal.contents.any is False
        assert (journal.contents.puts(9), journal.contents.withheld()) == ([], set())
        journal.contents.check()


def test_a_content_that_was_taken_out_is_told_from_an_empty_one(path: Path, tmp_path: Path) -> None:
    blob = blob_of(path, 1, 0, 0)
    without = changed(path, tmp_path, f"UPDATE blobs SET data = x'', size = 0 WHERE id = {blob}")
    with Journal.open(path) as journal:
        assert journal.contents.withheld() == set()
        assert not any(journal.contents.is_withheld(kept(1, 0, effect)) for effect in (FIRST, SECOND, NOTHING))
    with Journal.open(without) as journal:
        assert journal.contents.withheld() == {sha256(SMALL).hexdigest()}
        assert journal.contents.is_withheld(kept(1, 0, FIRST)) is True
        assert journal.contents.is_withheld(kept(1, 0, NOTHING)) is False
        assert journal.contents.is_withheld(kept(2, 0, FIRST)) is False
        journal.contents.check()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM contents WHERE nr = 2", "the content that place 0 put in round 1 is missing"),
        ("UPDATE contents SET blob = 'x' WHERE nr = 2", "is not named by a blob's number"),
        ("UPDATE contents SET blob = {small} WHERE nr = 2", "the content that place 0 put in round 1 is another"),
        ("INSERT INTO contents VALUES (4, 1, 7, {small})", "it holds contents that nobody put"),
        ("INSERT INTO contents VALUES (1, 1, 0, {small})", "it holds contents that nobody put"),
        ("INSERT INTO contents VALUES (1, 0, 1, {small})", "it holds contents that nobody put"),
    ],
)
def test_contents_that_are_not_those_of_the_effects_are_damage(
    path: Path, tmp_path: Path, statement: str, said: str
) -> None:
    damaged = changed(path, tmp_path, statement.format(small=blob_of(path, 1, 0, 0)))
    with Journal.open(damaged) as journal, pytest.raises(JournalError, match=said):
        journal.contents.check()


def test_a_hash_that_is_none_is_damage(path: Path, tmp_path: Path) -> None:
    blob = blob_of(path, 1, 0, 0)
    damaged = changed(path, tmp_path, f"UPDATE blobs SET data = x'', size = 0, hash = 'text' WHERE id = {blob}")
    with Journal.open(damaged) as journal, pytest.raises(JournalError, match="the hash of a content is not bytes"):
        journal.contents.withheld()
