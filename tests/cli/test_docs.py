"""docs/cli.md says what the program says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from turnwise.cli.program import app

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_is_what_help_says() -> None:
    ended = subprocess.run(
        [sys.executable, DOCS / "generate_cli.py", "--check"], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr


def test_every_command_has_a_section() -> None:
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    names = [command.callback.__name__ for command in app.registered_commands if command.callback is not None]
    assert "verify" in names
    assert [name for name in names if f"## `turnwise {name}`" not in text] == []
