"""Archives of agents: their bytes follow from what is in them, and what is none is refused."""

from __future__ import annotations

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwise.world.files import Refused
from turnwise.world.limits import PYTHON_SOURCE_FILES_MAX
from turnwise.world.meaning.source_archive import MANIFEST, read_archive, write_archive

GOOD = b'{"entry":"a.py","version":1}'


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return made.getvalue()


def test_what_is_written_is_read() -> None:
    files = {"b/__init__.py": b"", "a.py": "x = 'ä'\n".encode(), "p-1.0.dist-info/METADATA": b"Name: p\n"}
    assert read_archive(write_archive("a.py", files), "a.agent") == ("a.py", files)
    assert write_archive("a.py", files) == write_archive("a.py", dict(reversed(files.items())))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is no agent"),
        (b"PK\x03\x04nonsense", "is no agent"),
        (archive({"a.py": b""}), "does not say which"),
        (archive({MANIFEST: b"[]", "a.py": b""}), "does not say which"),
        (archive({MANIFEST: b'{"entry":"a.py","version":2}', "a.py": b""}), "has version 2"),
        (archive({MANIFEST: b'{"entry":"b.py","version":1}', "a.py": b""}), "lacks the file"),
        (archive({MANIFEST: b'{"entry":["a.py"],"version":1}', "a.py": b""}), "lacks the file"),
        (archive({MANIFEST: GOOD, "a.py": b"\xff"}), "is no text"),
        (archive({MANIFEST: GOOD, "a.py": b"", "../b.py": b""}), "no plain file"),
        (archive({MANIFEST: GOOD, "a.py": b"", "/b.py": b""}), "no plain file"),
        (archive({MANIFEST: GOOD, "a.py": b"", "b//c.py": b""}), "no plain file"),
        (archive({MANIFEST: GOOD, "a.py": b""}, zipfile.ZIP_DEFLATED), "no plain file"),
        (archive({MANIFEST: GOOD, **{f"m{n}.py": b"" for n in range(PYTHON_SOURCE_FILES_MAX + 1)}}), "more than"),
    ],
)
def test_what_is_no_archive_of_an_agent_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(Refused) as refused:
        read_archive(data, "x.agent")
    assert message in refused.value.message


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=255))
def test_a_changed_byte_is_refused_or_read_as_some_agent(place: int, value: int) -> None:
    data = bytearray(write_archive("a.py", {"a.py": b"x = 1\n"}))
    data[place % len(data)] = value
    try:
        entry, files = read_archive(bytes(data), "x.agent")
    except Refused:
        return
    assert entry in files
