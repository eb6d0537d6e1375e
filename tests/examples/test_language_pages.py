"""The pages on agents in JavaScript and in C: their commands run as they stand there, and print what stands there."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import turnwise
from tests.cli.conftest import Command, command
from turnwise.cli.commands.new import COMPILE
from turnwise.cli.errors import DONE
from turnwise.world.template import LANGUAGES, create_world

ROOT = Path(__file__).parents[2]
FILES = {"c": "agent.c", "zig": "agent.zig", "js": "agent.js"}
"""Names of the files that a block of a language is."""

__all__ = ["command"]


def blocks(page: str) -> list[tuple[str, str]]:
    """Return language and text of each block of code, in order."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def compile_line(line: str) -> None:
    """Run a line that calls the compiler, with this Python."""
    words = shlex.split(line)
    assert words[:3] == ["python", "-m", "ziglang"]
    done = subprocess.run([sys.executable, *words[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", ["agents-javascript.md", "agents-c.md"])
def test_a_page_is_true(page: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    shutil.copy(ROOT / "guests/c/turnwise.h", tmp_path)
    printed: list[str] = []
    told = 0
    for language, text in blocks(page):
        if language in FILES:
            Path(FILES[language]).write_text(text)
            continue
        for line in text.splitlines():
            if language == "text":
                assert line in printed
                told += 1
            elif line.startswith("turnwise "):
                ended = command(*shlex.split(line)[1:])
                assert ended.code == DONE, ended.err
                printed = ended.out.splitlines()
            elif line.startswith("cd "):
                monkeypatch.chdir(line.removeprefix("cd "))
            else:
                compile_line(line)
    assert told > 0


@pytest.mark.parametrize("text", [text for language, text in blocks("agents-javascript.md") if language == "js"])
def test_the_agents_of_the_javascript_page_compile(text: str) -> None:
    assert turnwise.check(turnwise.World("w", agents={"a": turnwise.Agent(text, start=True)})) == []


def outcomes(folder: Path) -> list[object]:
    """Play a world; return all that happened in it, but for what its code is."""
    with turnwise.run(folder, journal=folder / "a.journal") as run:
        turns = [(turn.round, turn.agent, turn.output, turn.failure) for turn in run.turns]
        messages = [(message.round, message.sender, message.to, message.body) for message in run.messages]
        records = [(record.round, record.name, record.value) for record in run.records]
        return [run.status, run.result, len(run.rounds), turns, messages, records]


def test_the_same_game_has_the_same_outcome_in_every_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for language in LANGUAGES:
        folder = tmp_path / language
        create_world(folder, language=language)
        if language == "c":
            monkeypatch.chdir(folder)
            for line in COMPILE:
                compile_line(line)
        found[language] = outcomes(folder)
    assert found["python"][:2] == ["finished", {"number": 330, "guesses": 10}]
    assert found["javascript"] == found["python"]
    assert found["c"] == found["python"]
