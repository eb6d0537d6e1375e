"""`turnwise watch` as a person starts it: what it refuses, and in a terminal of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import turnwise
from tests.cli.worlds import command, environment
from tests.cli.worlds import turnwise as run_command
from tests.orchestrator.worlds import lively


def test_what_it_cannot_show_is_told(tmp_path: Path) -> None:
    pytest.importorskip("textual")
    ended = run_command("watch", tmp_path, cwd=tmp_path)
    assert ended.returncode == 2
    assert "this is a folder" in ended.stderr
    turnwise.run(lively(seed=3, rounds_max=2), journal=tmp_path / "a.journal").close()
    ended = run_command("watch", tmp_path / "a.journal", cwd=tmp_path)
    assert ended.returncode == 2
    assert "needs a terminal" in ended.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="has no such terminals")
def test_it_shows_a_run_in_a_terminal_until_q(tmp_path: Path) -> None:
    pytest.importorskip("textual")
    import pty

    path = tmp_path / "a.journal"
    turnwise.run(lively(seed=3, rounds_max=2), journal=path).close()
    outer, inner = pty.openpty()
    around = {**environment(), "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "30"}
    with subprocess.Popen(command("watch", path), stdin=inner, stdout=inner, stderr=inner, env=around) as process:
        os.close(inner)
        seen = b""
        while b"seed 3" not in seen:
            seen += os.read(outer, 65_536)
        os.write(outer, b"q")
        try:
            while os.read(outer, 65_536):
                pass
        except OSError:  # the other end is closed
            pass
        assert process.wait(60) == 0
    os.close(outer)
