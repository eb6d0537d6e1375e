"""`turnwise redact` and `turnwise compact`, as command lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import turnwise
from tests.cli.conftest import Command, refuses


@pytest.fixture
def agent(lived: Path) -> str:
    with turnwise.open(lived) as run:
        return next(iter(run.turns)).agent


def test_a_redacted_journal_has_the_head_and_says_what_is_gone(
    lived: Path, agent: str, tmp_path: Path, command: Command
) -> None:
    path = tmp_path / "private.journal"
    ended = command("redact", lived, "-o", path, "--agent", agent)
    assert ended.code == 0
    with turnwise.open(lived) as run:
        assert ended.out.splitlines()[0].endswith(f"head {run.head}")
    assert "taken out; of each its SHA-256 is left" in ended.out
    ended = command("replay", path, "--workers", 1)
    assert ended.code == 0
    value = json.loads(command("redact", lived, "-o", tmp_path / "b.journal", "--agent", agent, "--json").out)
    assert value["texts"] > 0
    assert value["bytes"] == (tmp_path / "b.journal").stat().st_size


def test_what_cannot_be_redacted_is_named_and_leaves_no_file(
    lived: Path, agent: str, tmp_path: Path, command: Command
) -> None:
    out, there = tmp_path / "new.journal", tmp_path / "there"
    there.write_bytes(b"mine")
    for arguments, said in (
        ((lived, "-o", out), "nothing says what is private"),
        ((lived, "-o", out, "--agent", "nobody-9"), "there is no agent 'nobody-9' in this run"),
        ((lived, "-o", out, "--pattern", "("), "this is no regular expression"),
        ((lived, "-o", out, "--pattern", "said by none of them"), "nothing private was found"),
        ((lived, "-o", there, "--agent", agent), "the file exists already"),
        ((tmp_path / "none.journal", "-o", out, "--agent", agent), "none.journal"),
        ((there, "-o", out, "--agent", agent), "there"),
        ((lived, "-o", tmp_path / "no" / "x", "--agent", agent), "No such file or directory"),
    ):
        refuses(command, "redact", arguments, said, out)
    assert there.read_bytes() == b"mine"


@pytest.mark.parametrize("keep", ["all", "states", "head"])
def test_a_compacted_journal_has_the_head(lived: Path, tmp_path: Path, command: Command, keep: str) -> None:
    path = tmp_path / "small.journal"
    ended = command("compact", lived, "-o", path, "--keep", keep)
    with turnwise.open(lived) as run, turnwise.open(path) as small:
        assert small.head == run.head
    assert ended.code == 0
    assert ended.out.startswith(f"{path}: {path.stat().st_size:,} bytes of {lived.stat().st_size:,}, head ")
    assert ("taken out" in ended.out) == (keep == "states")
    ended = command("compact", lived, "-o", path, "--keep", keep)
    assert (ended.code, ended.out) == (2, "")
    assert "exist" in ended.err


def test_what_is_to_be_kept_is_one_of_three(lived: Path, tmp_path: Path, command: Command) -> None:
    ended = command("compact", lived, "-o", tmp_path / "x", "--keep", "some")
    assert (ended.code, ended.out) == (2, "")
    assert "there is no 'some' to keep" in ended.err
    assert "Give one of head, states, all." in ended.err
    assert command("compact", lived, "-o", tmp_path / "x").code == 2
    assert not (tmp_path / "x").exists()
