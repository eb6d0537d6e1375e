"""An archive has one form: other programs read it, and each changed byte is found."""

from __future__ import annotations

import io
import subprocess
import zipfile
from pathlib import Path

import pytest

from turnwise.errors import DifferenceFound
from turnwise.evidence.archive import Member, content_of, name_problem, read_archive, write_archive

CONTENTS = {"a.txt": b"hello", "b/empty": b"", "b/c/é.bin": bytes(range(256)) * 3}


def archive(contents: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    write_archive(out, [content_of(name, content) for name, content in contents.items()])
    return out.getvalue()


def read(content: bytes) -> tuple[list[Member], dict[str, bytes]]:
    found: dict[str, list[bytes]] = {}

    def take(name: str, size: int) -> object:
        found[name] = []
        return found[name].append

    members = read_archive(io.BytesIO(content), Path("x"), take)  # type: ignore[arg-type]
    return members, {name: b"".join(parts) for name, parts in found.items()}


def test_it_is_read_as_it_was_written() -> None:
    members, contents = read(archive(CONTENTS))
    assert contents == CONTENTS
    assert [member.size for member in members] == [len(content) for content in CONTENTS.values()]


def test_the_same_contents_give_the_same_bytes() -> None:
    assert archive(CONTENTS) == archive(CONTENTS)


def test_other_programs_read_it(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(archive(CONTENTS))
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        assert {name: file.read(name) for name in file.namelist()} == CONTENTS
    program = "import sys,zipfile; print(len(zipfile.ZipFile(sys.argv[1]).namelist()))"
    assert subprocess.check_output(["python3", "-c", program, path], text=True) == "3\n"


def test_each_changed_byte_is_found() -> None:
    whole = archive(CONTENTS)
    for at in range(len(whole)):
        for flip in (1, 0x80):
            changed = bytearray(whole)
            changed[at] ^= flip
            with pytest.raises(DifferenceFound):
                read(bytes(changed))


def test_each_cut_and_what_is_added_are_found() -> None:
    whole = archive(CONTENTS)
    for end in range(len(whole)):
        with pytest.raises(DifferenceFound):
            read(whole[:end])
    for more in (b"\0", b"PK\x03\x04", whole):
        with pytest.raises(DifferenceFound):
            read(whole + more)


@pytest.mark.parametrize("names", [["a", "a"], ["a/b", "A/b"], ["é", "e\u0301"]])
def test_two_members_of_one_name_are_refused(names: list[str]) -> None:
    out = io.BytesIO()
    write_archive(out, [content_of(name, b"") for name in names])
    with pytest.raises(DifferenceFound, match="two members"):
        read(out.getvalue())


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../x",
        "a/../b",
        "a//b",
        "./a",
        "a/",
        "C:x",
        "a\\b",
        "a\0b",
        "a\nb",
        "a.",
        "a /b",
        "\u202ea",
    ],
)
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    assert name_problem(name) is not None
    with pytest.raises(ValueError, match="member"):
        content_of(name, b"")
    plain = archive({"q" * len(name.encode()): b""})
    forged = plain.replace(b"q" * len(name.encode()), name.encode())
    with pytest.raises(DifferenceFound, match="is called"):
        read(forged)


def test_a_name_has_a_bound_and_is_not_empty() -> None:
    assert name_problem("x" * 1000) is None
    assert name_problem("x" * 1001) is not None
    assert name_problem("") is not None


def test_a_compressed_archive_is_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bomb", bytes(10_000_000))
    with pytest.raises(DifferenceFound, match="header"):
        read(out.getvalue())
