"""`turnwise observe`, and `--metrics`, `--otlp` and `--log-json` of commands that play."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Command, uninstall
from tests.cli.test_send import world
from tests.cli.worlds import command as started
from tests.cli.worlds import environment, turnwise
from tests.observing.collector import collector
from tests.observing.test_observer import scraped


def test_a_run_with_everything_switched_on(tmp_path: Path) -> None:
    world(tmp_path / "w")
    with collector() as far:
        arguments = ("run", "w", "--serve", "--journal", "a.journal", "--metrics", 0, "--otlp", far.url)
        service = subprocess.Popen(
            started(*arguments, "--log-json", "log.jsonl", "--workers", 1),
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert service.stderr is not None
        address = next(line.split()[-1] for line in service.stderr if line.startswith("metrics: "))
        assert turnwise("send", "a.journal", "listener", "one", cwd=tmp_path).returncode == 0
        while scraped(address).get(("turnwise_rounds_total", ())) != 1:
            assert service.poll() is None
        service.send_signal(signal.SIGTERM)
        service.communicate(timeout=120)
        assert service.returncode == 143
        assert {span.name for span in far.spans} == {"round 1", "invoke_agent listener"}
    events = [json.loads(line)["event"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert events == ["message", "log", "round"]
    with pytest.raises(OSError):  # noqa: PT011 - its port is free again
        scraped(address)


def test_lines_take_the_place_of_the_display(tmp_path: Path) -> None:
    world(tmp_path / "w")
    ended = turnwise("run", "w", "--journal", "a.journal", "--log-json", "-", cwd=tmp_path)
    assert ended.returncode == 0
    assert "quiet" in ended.stdout or "nobody has anything left to do" in ended.stdout
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["run_ended"]


def test_resume_tells_of_what_is_new(tmp_path: Path) -> None:
    world(tmp_path / "w")
    with subprocess.Popen(
        started("run", "w", "--serve", "--journal", "a.journal"),
        cwd=tmp_path,
        env=environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as service:
        assert service.stderr is not None
        assert any("Nobody has anything left to do" in line for line in service.stderr)
        service.send_signal(signal.SIGTERM)
    assert turnwise("send", "a.journal", "listener", "the end", cwd=tmp_path).returncode == 0
    ended = turnwise("resume", "a.journal", "--log-json", "-", cwd=tmp_path)
    events = [json.loads(line)["event"] for line in ended.stderr.splitlines()]
    assert events == ["message", "log", "round", "run_ended"]


def test_a_journal_is_observed_by_itself(tmp_path: Path) -> None:
    world(tmp_path / "w")
    assert turnwise("run", "w", "--journal", "a.journal", cwd=tmp_path).returncode == 0
    ended = turnwise("observe", "a.journal", "--log-json", "-", "--from-start", cwd=tmp_path)
    assert ended.returncode == 0
    assert [json.loads(line)["event"] for line in ended.stdout.splitlines()] == ["run_ended"]


def test_mistakes(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = world(tmp_path / "w")
    assert "nothing is to be told" in command("observe", tmp_path / "a.journal").err
    assert command("observe", tmp_path / "none.journal", "--log-json", "-").code == 2
    assert command("run", folder, "--native", "--log-json", "-").code == 2
    uninstall("prometheus_client", monkeypatch)
    refused = command("run", folder, "--metrics", 0, "--journal", tmp_path / "b.journal")
    assert refused.code == 2
    assert 'pip install "turnwise[otel]"' in refused.err
    assert not (tmp_path / "b.journal").exists()
