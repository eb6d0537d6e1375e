from __future__ import annotations

from pathlib import Path

import pytest

WORLD = """
[world]
name = "counting"
rounds_max = 30

[agents.counter]
source = "counter.py"
args = { to = 3 }
grants = { send = ["*"], finish = true }

[agents.echo]
source = "echo.py"
grants = { send = ["*"] }

[[messages]]
to = "counter"
body = "begin"
"""
COUNTER = """
def turn(t):
    count = (t.state or 0) + 1
    t.state = count
    t.record("count", count)
    if count >= t.args["to"]:
        t.finish({"count": count})
    else:
        t.send("echo", str(count))
"""
ECHO = """
def turn(t):
    for message in t.inbox:
        t.send(message.sender, message.body)
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a world, and something outside of it."""
    folder = tmp_path / "served"
    (folder / "counting").mkdir(parents=True)
    (folder / "counting" / "world.toml").write_text(WORLD)
    (folder / "counting" / "counter.py").write_text(COUNTER)
    (folder / "counting" / "echo.py").write_text(ECHO)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "world.toml").write_text(WORLD)
    (folder / "link").symlink_to(tmp_path / "outside")
    (folder / "no.journal").write_text("no journal")
    return folder
