"""SQLite's errors in the words of Turnwise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit of open files to set")
def test_a_lack_of_descriptors_is_said_and_not_taken_for_one_of_rights(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    path.touch()
    script = """
import os, resource, sqlite3, sys
from pathlib import Path
from turnwise.journal.file.errors import translated

def said(path):
    try:
        sqlite3.connect(f"file:{path}?mode=rw", uri=True).execute("SELECT 1 FROM sqlite_master")
    except sqlite3.Error as error:
        print(translated(error, Path(path), writing=False))

said(sys.argv[1] + "-none")
top = os.open(os.devnull, os.O_RDONLY)
resource.setrlimit(resource.RLIMIT_NOFILE, (top + 1, top + 1))
said(sys.argv[1])
"""
    shown = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True).stdout
    without, lacking = shown.strip().split("\n" + str(path) + ":")
    assert "Check the rights" in without
    assert "Too many open files" in lacking
    assert "ulimit -n" in lacking
    assert "rights" not in lacking
