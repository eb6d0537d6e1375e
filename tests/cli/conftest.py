"""Fixtures of the command line's tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cli.journals import evil_plan, play, write
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
