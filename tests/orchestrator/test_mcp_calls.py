"""Agents that call tools of MCP servers: run, killed, resumed, and replayed with the server absent."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import turnwise
from tests.tools.kinds.mcp.serving import SERVERS
from turnwise.history.replay import replay
from turnwise.orchestrator.live import Live
from turnwise.orchestrator.settings import Settings

AGENT = """
from turnwise_guest import EffectError

def turn(t):
    found = [str(t.call("small.add", {"a": 2, "b": 3})), t.call("small.add", {"a": 2, "b": 3}).data]
    for tool, args in (("small.ask", {"what": "hat"}), ("small.fail", {}), ("small.surroundings", {})):
        try:
            found.append(str(t.call(tool, args)))
        except EffectError as error:
            found.append(error.kind)
    t.finish(found)
"""

ASK_AND_BE_KILLED = """
import os, signal, sys
import turnwise

live = turnwise.start(sys.argv[1], journal=sys.argv[2], workers=1)
live.step()
while not live.questions():
    live.step()
os.kill(os.getpid(), signal.SIGKILL)
"""


def make_world(folder: Path, revision: str) -> Path:
    """A world with a server that lies in its folder."""
    shutil.copy(SERVERS / "small.py", folder / "small.py")
    (folder / "agent.py").write_text(AGENT)
    (folder / "world.toml").write_text(
        textwrap.dedent(
            f"""
            [world]
            name = "calls"
            park_after_ms = 60000

            [tools.small]
            kind = "mcp"
            command = {str(sys.executable)!r}
            args = [{str(folder / "small.py")!r}]
            revision = "{revision}"

            [agents.agent]
            source = "agent.py"
            start = true
            grants = {{ call = ["small.add", "small.ask", "small.fail"], finish = true }}
            """
        )
    )
    return folder


def step_until_asked(live: Live) -> None:
    while not live.questions():
        assert live.step() is not turnwise.NoRound.WAITING or live.questions()


def check_replay(folder: Path, journal: Path) -> None:
    """Replay with the server gone."""
    (folder / "small.py").unlink()
    assert replay(journal, Settings(workers=1)).difference is None


@pytest.mark.parametrize("revision", ["auto", "2025-11-25"])
def test_an_agent_calls_tools_of_an_mcp_server(tmp_path: Path, revision: str) -> None:
    folder, journal = make_world(tmp_path, revision), tmp_path / "run.journal"
    with turnwise.start(folder, journal=journal, workers=1) as live:
        step_until_asked(live)
        (asked,) = live.questions()
        assert asked.text == "Which size of hat?"
        assert live.answer(asked.id, {"size": "M"})
        assert live.result().result == ["5", {"result": 5}, "3 M", "tool", "denied"]
    check_replay(folder, journal)


@pytest.mark.parametrize(("revision", "outcome"), [("auto", "3 M"), ("2025-11-25", "unavailable")])
def test_a_question_of_a_server_outlasts_a_kill(tmp_path: Path, revision: str, outcome: str) -> None:
    folder, journal = make_world(tmp_path, revision), tmp_path / "run.journal"
    arguments = [sys.executable, "-c", ASK_AND_BE_KILLED, str(folder), str(journal)]
    ended = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    with turnwise.resume(journal, workers=1) as live:
        (asked,) = live.questions()
        assert live.answer(asked.id, {"size": "M"})
        assert live.result().result == ["5", {"result": 5}, outcome, "tool", "denied"]
    check_replay(folder, journal)
