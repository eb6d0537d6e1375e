"""The page on forks: its commands run as they stand there, and print what stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import Command, command
from turnwise.cli.errors import DIFFERENT, DONE

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "fork.md"

__all__ = ["command"]


def blocks() -> list[tuple[str, list[str]]]:
    """Commands of the page, each with the lines that it is said to print."""
    found: list[tuple[str, list[str]]] = []
    for kind, text in re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        if kind == "sh":
            found.append((text.strip(), []))
        else:
            found[-1][1].extend(line for line in text.splitlines() if line.strip() != "…")
    return found


def test_the_page_is_true(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / "examples").symlink_to(ROOT / "examples", target_is_directory=True)
    told = 0
    for line, expected in blocks():
        program, name, *arguments = shlex.split(line)
        assert program == "turnwise"
        ended = command(name, *arguments)
        assert ended.code == (DIFFERENT if name == "diff" else DONE), ended.err
        printed = ended.out.splitlines()
        for each in expected:
            assert each in printed
            told += 1
    assert told > 10
