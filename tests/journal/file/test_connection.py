"""How a connection that writes is set up: what is committed survives a power cut, and other programs can read."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from tests.journal.records import create
from turnwise.journal.file.connection import WAL_CHECKPOINT_PAGES, open_reading, open_writing


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("synchronous", 2),  # FULL: each commit is synced before it returns
        ("fullfsync", 1),
        ("journal_mode", "wal"),
        ("wal_autocheckpoint", WAL_CHECKPOINT_PAGES),
        ("trusted_schema", 0),
        ("cell_size_check", 1),
        ("mmap_size", 0),
    ],
)
def test_a_writer_is_durable(tmp_path: Path, pragma: str, value: object) -> None:
    create(tmp_path / "run.journal").close()
    with closing(open_writing(tmp_path / "run.journal")) as connection:
        assert connection.execute(f"PRAGMA {pragma}").fetchone() == (value,)


@pytest.mark.parametrize(("pragma", "value"), [("query_only", 1), ("trusted_schema", 0), ("cell_size_check", 1)])
def test_a_reader_cannot_write(tmp_path: Path, pragma: str, value: object) -> None:
    create(tmp_path / "run.journal").close()
    with closing(open_reading(tmp_path / "run.journal")) as connection:
        assert connection.execute(f"PRAGMA {pragma}").fetchone() == (value,)
