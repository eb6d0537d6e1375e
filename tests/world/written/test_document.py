from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.world.conftest import MINIMAL, Write, only_problem
from turnwise.world import World, limits
from turnwise.world.written.types import Agent


def test_a_folder_without_a_world(tmp_path: Path) -> None:
    problem = only_problem(tmp_path)
    assert problem.where == f"{tmp_path}/world.toml"
    assert problem.message == "there is no such world file"
    assert "turnwise new NAME" in problem.hint


def test_a_path_that_cannot_be(tmp_path: Path) -> None:
    assert only_problem(tmp_path / ("x" * 300)).message == "there is no such world file"
    assert only_problem(tmp_path / "a\0b").message == "there is no such world file"


def test_a_file_of_another_name_is_a_world_file_too(write: Write) -> None:
    folder = write(files={"other.toml": MINIMAL.replace("test", "other")})
    assert World.read(folder / "other.toml").name == "other"
    assert only_problem(folder / "missing.toml").message == "there is no such world file"


@pytest.mark.parametrize(
    ("toml", "line"),
    [
        ("[world]\nname = \n", 2),
        ('[world]\nname = "x"\n[world]\n', 3),
        ('[world]\nname = "x"\nname = "y"\n', 3),
        ('[world]\nname = "x', 2),
        ("[world]\nseed = 007\n", 2),
        ("[world]\n\n\nname = 'x' y\n\n", 4),
    ],
)
def test_toml_syntax_errors_name_the_line(write: Write, toml: str, line: int) -> None:
    problem = only_problem(write(toml))
    assert problem.where.endswith("world.toml")
    assert "is not TOML: " in problem.message
    assert f"(at line {line}," in problem.message
    assert "Correct the line" in problem.hint


def test_what_is_not_utf_8_is_said_with_its_place(write: Write) -> None:
    problem = only_problem(write(b'[world]\nname = "caf\xe9"\n'))
    assert problem.where.endswith("world.toml")
    assert problem.message == 'the file "world.toml" is not UTF-8: byte 0xe9 at offset 19 (line 2)'
    assert problem.hint == "Save it with the encoding UTF-8."


def test_a_byte_order_mark_does_no_harm_and_counts_in_offsets(write: Write) -> None:
    assert World.read(write(b"\xef\xbb\xbf" + MINIMAL.encode())).name == "test"
    assert "offset 11 " in only_problem(write(b"\xef\xbb\xbf[world]\n\xff")).message


@pytest.mark.parametrize("toml", ["a = " + "[" * 5_000 + "]" * 5_000, "a = " + "{b=" * 5_000])
def test_deep_nesting_is_an_error_and_no_crash(write: Write, toml: str) -> None:
    assert "Make its tables and lists flatter" in only_problem(write(toml)).hint


def test_a_number_that_python_does_not_read(write: Write) -> None:
    problem = only_problem(write(MINIMAL + "args = { x = " + "9" * 5_000 + " }\n"))
    assert "cannot be read" in problem.message


def test_a_file_that_is_too_large(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turnwise.world.written.document.WORLD_FILE_BYTES_MAX", 10)
    problem = only_problem(write())
    assert "is too large" in problem.message
    assert "At most 10 bytes" in problem.hint


def test_a_world_file_that_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "world.toml").mkdir()
    assert only_problem(tmp_path).message == "there is no such world file"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_world_file_that_would_never_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "world.toml")
    assert only_problem(tmp_path).message == "there is no such world file"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="this user can read everything")
def test_a_file_that_cannot_be_read(write: Write) -> None:
    folder = write()
    (folder / "world.toml").chmod(0)
    assert "cannot be read" in only_problem(folder).message


def test_defaults_of_the_file_are_those_of_python(write: Write) -> None:
    read = World.read(write())
    built = World("test", agents={"a": Agent("a.py")}, folder=read.folder)
    assert read.resolve() == built.resolve()
    assert read.agents["a"] == Agent("a.py")
    assert read.rounds_max == limits.ROUNDS_DEFAULT


def test_a_key_of_very_many_parts_is_refused_at_once(write: Write) -> None:
    problem = only_problem(write("[world]\nname = 'x'\n" + ".".join(["a"] * 50_000) + " = 1\n"))
    assert problem.message == "has a key of more than 32 parts in line 3"
