"""The page on evidence: its example runs as it stands there, and prints what stands there but for hashes and sizes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import Command, command
from turnwise.evidence.archive import read_archive

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "evidence.md"

__all__ = ["command"]


def shape(line: str) -> str:
    """A line without what is another for each key, version and build."""
    line = re.sub(r"\b[0-9a-f]{16,64}\b", "HASH", line.strip())
    return re.sub(r"\d[\d,]* bytes|turnwise [\d.]+\w*|  [0-9a-f]{8}$", "NUMBER", line)


def test_the_page_is_true(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples", target_is_directory=True)
    text = PAGE.read_text(encoding="utf-8").split("## What a bundle proves")[0]
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    printed: list[str] = []
    said: list[str] = []
    for kind, block in blocks:
        if kind == "sh":
            for line in block.splitlines():
                program, *arguments = shlex.split(line)
                assert program == "turnwise"
                ended = command(*arguments)
                assert ended.code == 0, ended.err
                printed += ended.out.splitlines()
        elif not block.startswith("error: "):
            said += block.splitlines()
    assert len(said) == 8
    assert [line for line in said if shape(line) not in map(shape, printed)] == []
    for lines in (said, printed):  # the head of the run, of its bundle, and of what was verified
        assert len(set(re.findall(r"head ([0-9a-f]{64})", "\n".join(lines)))) == 1

    path = Path("haggle.bundle")
    content = bytearray(path.read_bytes())
    with path.open("rb") as file:
        members = {member.name: member for member in read_archive(file, path, lambda name, size: None)}
    content[members["interpreter.wasm"].start + 1_000] ^= 4
    Path("bad.bundle").write_bytes(content)
    ended = command("verify", "bad.bundle", "--trust", "me.pub")
    assert (ended.code, ended.out) == (3, "")
    (error,) = (block for _, block in blocks if block.startswith("error: "))
    assert [shape(line) for line in error.splitlines()] == [shape(line) for line in ended.err.splitlines()]
