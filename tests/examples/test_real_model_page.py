"""The page on a real model: its commands run as they stand there, if such a model is named."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import Command, command
from turnwise.cli.errors import DIFFERENT, DONE

PAGE = Path(__file__).parents[2] / "docs" / "real-model.md"

__all__ = ["command"]


@pytest.mark.trained
def test_the_page_is_true(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = os.environ.get("TURNWISE_TEST_INSTRUCT_MODEL")
    if not named:
        pytest.skip("no instruct model is named: set TURNWISE_TEST_INSTRUCT_MODEL to a folder in full precision")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / "assistant").symlink_to(named, target_is_directory=True)
    (tmp_path / "pairs").mkdir()
    text = PAGE.read_text(encoding="utf-8")
    for name, content in re.findall(r"^`(pairs/\S+)`:\n\n```\w+\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        (tmp_path / name).write_text(content, encoding="utf-8")
    printed: list[str] = []
    told = 0
    for kind, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if kind == "sh":
            program, name, *arguments = shlex.split(block)
            assert program == "turnwise"
            ended = command(name, *arguments)
            assert ended.code == (DIFFERENT if name == "diff" else DONE), ended.err
            printed = ended.out.splitlines()
        elif not kind:
            for line in block.splitlines():
                assert line in printed
                told += 1
    assert told == 11
