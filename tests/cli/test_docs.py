"""docs/cli.md says what the program says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.cli.test_program import COMMANDS

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_is_what_help_says() -> None:
    ended = subprocess.run(
        [sys.executable, DOCS / "generate_cli.py", "--check"], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr


def test_every_command_is_in_the_page() -> None:
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    for command in COMMANDS:
        assert f"## `turnwise {command}`" in text
