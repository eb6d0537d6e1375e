"""Modules that a function of the package takes into a process: those that it needs, and none that plays runs."""

from __future__ import annotations

import subprocess
import sys

import pytest

PLAYING = (
    "turnwise.inference.host.host",
    "turnwise.orchestrator.assembly",
    "turnwise.sandbox.execute.executor",
    "turnwise.world",
    "wasmtime",
)
PROGRAM = """
import sys
import turnwise
turnwise.{name}
print(*[name for name in {playing!r} if name in sys.modules])
"""


def taken(name: str) -> list[str]:
    """Those of `PLAYING` that a new process has imported once it knows a function."""
    program = PROGRAM.format(name=name, playing=PLAYING)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=240)
    return done.stdout.split()


@pytest.mark.parametrize("name", ["open", "diff", "why", "export", "detach", "observe"])
def test_who_reads_journals_imports_nothing_that_plays_them(name: str) -> None:
    assert taken(name) == []


def test_who_plays_one_imports_all_of_it() -> None:
    assert taken("run") == list(PLAYING)
