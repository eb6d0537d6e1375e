"""`turnwise mcp`: how it begins and ends. What it serves is tested in tests/mcp."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Command

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


def test_a_folder_that_is_not_there_is_told(command: Command, tmp_path: Path) -> None:
    ended = command("mcp", tmp_path / "nothing")
    assert ended.code == 2
    assert "there is no such folder" in ended.err


@pytest.mark.skipif(sys.platform == "win32", reason="signals end it by a socket, which files are not there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_while_the_program_at_the_other_end_is_silent(tmp_path: Path, number: int) -> None:
    arguments = [sys.executable, "-m", "turnwise", "mcp", str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
        process.stdin.flush()
        reply = json.loads(process.stdout.readline())
        assert reply["result"]["serverInfo"]["name"] == "turnwise"
        process.send_signal(number)
        assert process.wait(120) == 0
        assert process.stdout.read() == b""
        assert b"Traceback" not in process.stderr.read()
