"""The server as a process: how it begins and ends, and what it says."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.inference import graphs
from tests.orchestrator.test_imports import loaded
from tests.serving.servers import Server, serving
from turnwise.cli.commands.serve import specs_of
from turnwise.errors import UsageError

SECRET = "the-secret-of-somebody"


def test_it_says_nothing_of_what_is_asked_and_ends_when_told() -> None:
    with serving("a=builtin:demo", "b=builtin:demo") as server:
        asked = {"model": "b", "messages": [{"role": "user", "content": SECRET}], "max_tokens": 3}
        assert httpx.post(f"{server.url}/chat/completions", json=asked).status_code == 200
        assert httpx.post(f"{server.url}/chat/completions", json=asked | {SECRET: 1}).status_code == 400
        assert server.end(signal.SIGTERM) == 0
        assert SECRET not in server.said
        assert server.said.count("\n") == 3


def test_a_port_that_is_taken_is_a_mistake_that_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        ended = subprocess.run(
            [sys.executable, "-m", "turnwise", "serve", "builtin:demo", "--port", str(other.getsockname()[1])],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert ended.returncode == 2
    assert "cannot listen on 127.0.0.1" in ended.stderr


def test_models_are_named_by_their_folders_or_as_said(tmp_path: Path) -> None:
    (tmp_path / "x=y").mkdir()
    specs = specs_of(["builtin:demo", str(tmp_path / "x=y"), "other=some/folder"], "cpu")
    assert [(spec.name, spec.provider) for spec in specs] == [("demo", "cpu"), ("x=y", "cpu"), ("other", "cpu")]
    assert specs[2].path == Path("some/folder")
    for wrong in (["=x"], ["x="], ["builtin:demo", "demo=elsewhere"]):
        with pytest.raises(UsageError):
            specs_of(wrong, "auto")


def test_equal_bits_are_given_up_for_models_that_generate(tmp_path: Path) -> None:
    graphs.write_encoder(tmp_path / "encoder")
    for reproducible in (True, False):
        specs = specs_of(["builtin:demo", str(tmp_path / "encoder")], "cpu", reproducible=reproducible)
        assert [spec.reproducible for spec in specs] == [reproducible, True]


def test_the_page_begins_with_a_program_that_works(server: Server) -> None:
    page = (Path(__file__).parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")
    program = page.split("```python\n")[1].split("```")[0]
    assert len([line for line in program.splitlines() if line]) <= 5
    assert "http://127.0.0.1:8000/v1" in program
    ended = subprocess.run(
        [sys.executable, "-c", program.replace("http://127.0.0.1:8000/v1", server.url)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.strip()


def test_the_servers_process_does_without_what_runs_models(tmp_path: Path) -> None:
    assert not loaded("import turnwise.serving.server, turnwise.serving.conversation", tmp_path)
