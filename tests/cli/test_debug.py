"""`turnwise debug`: the debugger stops where the turn begins, and what comes of it is compared."""

from __future__ import annotations

from pathlib import Path

import pytest

import turnwise
from tests.cli.conftest import Command, command
from turnwise.cli.commands.debug import first_line

__all__ = ["command"]
SOURCE = '''def turn(t):
    """Count."""
    counted = (t.state or 0) + 1
    t.state = counted
    if counted < 3:
        t.wake_in(1)
'''


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("debug") / "a.journal"
    world = turnwise.World("w", agents={"counter": turnwise.Agent(SOURCE, start=True)})
    turnwise.run(world, journal=path, workers=1).close()
    return path


def typed(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """Have somebody type these lines into the debugger."""
    left = iter(lines)
    monkeypatch.setattr("builtins.input", lambda prompt="": next(left))
    monkeypatch.setattr("sys.stdin.readline", lambda: next(left) + "\n", raising=False)


def test_a_turn_without_a_debugger_is_compared(command: Command, journal: Path) -> None:
    ended = command("debug", journal, "--agent", "counter", "--round", 2, "--plain")
    assert ended.code == 0
    assert ended.out.startswith("same")
    assert "WITHOUT A SANDBOX" in ended.err


def test_the_debugger_stops_in_the_turn(command: Command, journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "p t.state", "next", "p counted", "continue")
    ended = command("debug", journal, "--agent", "counter", "--round", 3)
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert "-> counted = (t.state or 0) + 1" in lines
    assert [line.removeprefix("(Pdb) ") for line in lines if line.removeprefix("(Pdb) ") in ("2", "3")] == ["2", "3"]
    assert lines[-1].startswith("same") or lines[-1].startswith("(Pdb) same")


def test_who_changes_something_or_leaves_is_told(
    command: Command, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, "next", "!counted = 9", "continue")
    changed = command("debug", journal, "--agent", "counter", "--round", 1)
    assert (changed.code, "different" in changed.out) == (3, True)
    typed(monkeypatch, "quit")
    left = command("debug", journal, "--agent", "counter", "--round", 1)
    assert left.code == 3
    assert "left before it had ended" in left.out


def test_the_first_line_of_a_turn() -> None:
    assert first_line(SOURCE) == 3
    assert first_line("x = 1\n\nasync def turn(t):\n    pass\n") == 4
    assert first_line("from elsewhere import turn\n") is None
