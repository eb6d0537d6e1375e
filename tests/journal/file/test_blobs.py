"""Contents are stored once, checked when they are read, and never unpacked beyond what they say."""

from __future__ import annotations

import hashlib
import random
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from turnwise.core.withheld import Withheld
from turnwise.errors import JournalError
from turnwise.journal.file import blobs
from turnwise.journal.file.blobs import LARGE_BYTES_MIN, PREFETCH_ROWS_MAX, BlobReader, BlobWriter
from turnwise.journal.file.format import BLOB_BYTES_MAX, COMPRESS_BYTES_MIN, COMPRESS_LEVEL
from turnwise.journal.file.schema import TABLES

PATH = Path("run.journal")


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute(TABLES["blobs"])
        yield connection


def store(database: sqlite3.Connection, writer: BlobWriter) -> list[tuple[object, ...]]:
    flat = writer.take()
    rows = [tuple(flat[start : start + 4]) for start in range(0, len(flat), 4)]
    database.executemany("INSERT INTO blobs VALUES (?, ?, ?, ?)", rows)
    return rows


def put(database: sqlite3.Connection, data: object, size: object, content_hash: object) -> BlobReader:
    database.execute("INSERT INTO blobs VALUES (1, ?, ?, ?)", (content_hash, size, data))
    return BlobReader(database, PATH)


def test_equal_contents_have_one_row(database: sqlite3.Connection) -> None:
    writer = BlobWriter(PATH)
    assert [writer.number(content) for content in (b"a", b"b", b"a", b"")] == [1, 2, 1, 3]
    assert len(store(database, writer)) == 3
    assert writer.number(b"b") == 2
    assert writer.take() == []
    reader = BlobReader(database, PATH)
    assert [reader.content(number) for number in (1, 2, 3)] == [b"a", b"b", b""]


def test_only_what_gets_shorter_is_compressed(database: sqlite3.Connection) -> None:
    noise = random.Random(1).randbytes(5_000)
    prose = b"once upon a time " * 300
    short = b"x" * 100
    writer = BlobWriter(PATH)
    for content in (noise, prose, short):
        writer.number(content)
    rows = store(database, writer)
    assert [len(row[3]) for row in rows if isinstance(row[3], bytes)][::2] == [len(noise), len(short)]
    assert isinstance(rows[1][3], bytes)
    assert len(rows[1][3]) < 200
    reader = BlobReader(database, PATH)
    assert [reader.content(number) for number in (1, 2, 3)] == [noise, prose, short]


def test_large_contents_are_compressed_piece_by_piece_if_their_beginning_shrinks(database: sqlite3.Connection) -> None:
    noise = random.Random(1).randbytes(2 * LARGE_BYTES_MIN)
    prose = b"once upon a time " * (LARGE_BYTES_MIN // 8)
    seeming = prose[:100_000] + noise
    late = noise[:100_000] + prose
    writer = BlobWriter(PATH)
    contents = (noise, prose, memoryview(prose)[1:], seeming, late)
    for content in contents:
        writer.number(content)
    sizes = [len(row[3]) for row in store(database, writer)]  # type: ignore[arg-type]
    assert sizes[0] == len(noise), "it does not shrink"
    assert sizes[1] < len(prose) // 50
    assert sizes[2] < len(prose) // 50
    assert len(noise) < sizes[3] < len(seeming), "what has begun well is compressed to its end"
    assert sizes[4] == len(late), "only the beginning is tried"
    reader = BlobReader(database, PATH)
    assert [reader.content(number) for number in (1, 2, 3, 4, 5)] == [bytes(content) for content in contents]


def test_a_large_content_that_grows_while_it_is_compressed_stays_as_it_is(
    database: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs, "TRIED_SHARE_MAX", 2)
    noise = random.Random(1).randbytes(LARGE_BYTES_MIN)
    writer = BlobWriter(PATH)
    writer.number(noise)
    ((_, _, size, data),) = store(database, writer)
    assert data is noise
    assert size == len(noise)


def test_what_compressing_leaves_as_long_as_it_is_stays_as_it_is(database: sqlite3.Connection) -> None:
    """A reader takes what is as long as the content for the content."""
    noise = random.Random(1).randbytes(5_000)
    contents = [noise + bytes(zeros) for zeros in range(200)]
    equal = [content for content in contents if len(zlib.compress(content, COMPRESS_LEVEL)) == len(content)]
    assert equal, "no such content was tried"
    writer = BlobWriter(PATH)
    numbers = [writer.number(content) for content in equal]
    store(database, writer)
    reader = BlobReader(database, PATH)
    assert [reader.content(number) for number in numbers] == equal


def test_what_is_remembered_is_bounded_and_only_costs_space(database: sqlite3.Connection) -> None:
    writer = BlobWriter(PATH, known_max=2)
    assert [writer.number(content) for content in (b"a", b"b", b"a", b"c", b"a", b"b")] == [1, 2, 1, 3, 1, 4]
    assert writer.statistics() == {"known": 2, "known_max": 2, "next": 5}
    store(database, writer)
    assert BlobReader(database, PATH).text(4) == "b"


def test_a_new_writer_knows_what_was_stored_last(database: sqlite3.Connection) -> None:
    writer = BlobWriter(PATH)
    for content in (b"a", b"b", b"c"):
        writer.number(content)
    store(database, writer)
    again = BlobWriter(PATH, known_max=2)
    again.restart(database)
    assert [again.number(content) for content in (b"c", b"b", b"d", b"a")] == [3, 2, 4, 5]


def test_a_content_beyond_the_bound_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turnwise.journal.file.blobs.BLOB_BYTES_MAX", 1_000)
    with pytest.raises(JournalError, match="1001 bytes is larger") as caught:
        BlobWriter(PATH).number(b"x" * 1_001)
    assert (caught.value.expected, caught.value.actual) == (1_000, 1_001)


@pytest.mark.parametrize(
    ("data", "size", "content_hash"),
    [
        (b"abc", 3, hashlib.sha256(b"abd").digest()),
        (b"abc", 2, hashlib.sha256(b"abc").digest()),
        (b"abc", -1, hashlib.sha256(b"abc").digest()),
        (b"abc", 4, hashlib.sha256(b"abc").digest()),
        (b"abc", BLOB_BYTES_MAX + 1, hashlib.sha256(b"abc").digest()),
        (b"abc", "three", hashlib.sha256(b"abc").digest()),
        ("abc", 3, hashlib.sha256(b"abc").digest()),
        (b"abc", 3, hashlib.sha256(b"abc").hexdigest()),
        (zlib.compress(b"a" * 999), 998, hashlib.sha256(b"a" * 998).digest()[::-1]),
        (zlib.compress(b"a" * 999), 1_000, hashlib.sha256(b"a" * 999).digest()),
        (zlib.compress(b"a" * 999)[:-8], 999, hashlib.sha256(b"a" * 999).digest()[::-1]),
        (b"\xff\xfe", 2, hashlib.sha256(b"\xff\xfe").digest()),
    ],
)
def test_what_is_damaged_is_said_to_be(
    database: sqlite3.Connection, data: object, size: object, content_hash: object
) -> None:
    reader = put(database, data, size, content_hash)
    with pytest.raises(JournalError, match="damaged: blob 1 "):
        reader.text(1)


def test_a_bomb_is_not_unpacked(database: sqlite3.Connection) -> None:
    bomb = zlib.compress(b"\0" * 50_000_000, 9)
    reader = put(database, bomb, len(bomb) + 1, hashlib.sha256(b"").digest())
    with pytest.raises(JournalError, match="damaged: blob 1 "):
        reader.content(1)


def test_a_missing_blob(database: sqlite3.Connection) -> None:
    reader = BlobReader(database, PATH)
    reader.prefetch([4, 5, 6])
    with pytest.raises(JournalError, match="damaged: blob 5 is missing"):
        reader.text(5)


def test_prefetched_texts_need_no_more_reading(database: sqlite3.Connection) -> None:
    writer = BlobWriter(PATH)
    count = PREFETCH_ROWS_MAX + 50
    for number in range(count):
        writer.number(b"%d" % number)
    store(database, writer)
    statements: list[str] = []
    database.set_trace_callback(statements.append)
    reader = BlobReader(database, PATH)
    reader.prefetch([*range(count, 0, -1), 9, 9, 10_000])
    assert len(statements) == 2
    assert [reader.text(number) for number in range(1, count + 1)] == [str(number) for number in range(count)]
    assert len(statements) == 2


def test_the_reader_keeps_a_bounded_number_of_characters(database: sqlite3.Connection) -> None:
    writer = BlobWriter(PATH)
    for number in range(10):
        writer.number(b"%d" % number * 100)
    store(database, writer)
    statements: list[str] = []
    reader = BlobReader(database, PATH, cache_chars_max=300)
    reader.prefetch(range(1, 11))
    database.set_trace_callback(statements.append)
    assert [reader.text(number)[0] for number in (8, 9, 10)] == ["7", "8", "9"]
    assert statements == []
    assert reader.text(1) == "0" * 100
    assert len(statements) == 1


def test_a_content_that_was_taken_out_is_read_by_its_hash(database: sqlite3.Connection) -> None:
    digest = hashlib.sha256(b"secret").digest()
    reader = put(database, b"", 0, digest)
    text = reader.text(1)
    assert type(text) is Withheld
    assert text == "secret"
    with pytest.raises(JournalError, match="taken out"):
        reader.content(1)


def test_an_empty_content_was_not_taken_out(database: sqlite3.Connection) -> None:
    reader = put(database, b"", 0, hashlib.sha256(b"").digest())
    assert type(reader.text(1)) is str
    assert reader.content(1) == b""


@given(st.integers(COMPRESS_BYTES_MIN - 3, COMPRESS_BYTES_MIN + 3), st.booleans())
@example(COMPRESS_BYTES_MIN, True)
@example(COMPRESS_BYTES_MIN - 1, True)
def test_what_is_long_enough_is_compressed_where_that_makes_it_shorter(size: int, hard: bool) -> None:
    content = hard_to_pack(size) if hard else b"a" * size
    writer = BlobWriter(Path("x"))
    assert writer.number(content) == 1
    number, digest, length, data = writer.take()
    assert (number, digest, length) == (1, hashlib.sha256(content).digest(), size)
    assert isinstance(data, bytes)
    assert (len(data) < size) is (not hard and size >= COMPRESS_BYTES_MIN)
    assert zlib.decompress(data) == content if len(data) < size else data == content


def hard_to_pack(size: int) -> bytes:
    return hashlib.shake_256(b"a text that cannot be made shorter").digest(size)
