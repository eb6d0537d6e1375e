"""Fixtures of the command line's tests."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import turnwise
from tests.cli.journals import evil_plan, play, write
from tests.orchestrator.worlds import lively
from turnwise.cli.program import run_program


class Ended(NamedTuple):
    """What a command has left."""

    code: int
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in this process."""

    def run(*arguments: object) -> Ended:
        code = run_program([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return run


@pytest.fixture
def evil_journal(tmp_path: Path) -> Path:
    """A run in which every text that an agent or a model can choose tries to act on the terminal."""
    plan = evil_plan()
    return write(tmp_path / "evil.journal", plan, play(plan))


@pytest.fixture(scope="session")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal of agents that do everything but ask models."""
    path = tmp_path_factory.mktemp("lived") / "lively.journal"
    turnwise.run(lively(seed=3, rounds_max=4), journal=path).close()
    return path


def uninstall(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a package be one that is not installed, for the rest of the test."""
    for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, package, None)


def narrow(text: str) -> bool:
    """Whether a terminal of 80 columns shows each line as one, but for those that name a file or a digest."""
    return all(len(line) <= 80 for line in text.splitlines() if "/" not in line and not re.search("[0-9a-f]{64}", line))


def refuses(command: Command, name: str, arguments: tuple[object, ...], said: str, out: Path) -> None:
    """Check that a command refuses its arguments, says so to people, and leaves no file `out`."""
    ended = command(name, *arguments)
    assert (ended.code, ended.out) == (2, ""), said
    assert ended.err.startswith("error: ")
    assert said in ended.err
    assert "defect" not in ended.err
    assert not out.exists()
