"""`turnwise send`, and runs that stay up, as a supervisor and people have them."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

from tests.cli.conftest import Command
from tests.cli.worlds import command as started
from tests.cli.worlds import environment, turnwise

LISTENER = """
def turn(t):
    for message in t.inbox:
        t.log(f"heard {message.body}")
        if message.body == "the end":
            t.finish("done")
"""


def world(folder: Path) -> Path:
    folder.mkdir()
    (folder / "listener.py").write_text(LISTENER)
    (folder / "world.toml").write_text(
        '[world]\nname = "listening"\n[agents.listener]\nsource = "listener.py"\ngrants = { finish = true }\n'
    )
    return folder


def serve(folder: Path) -> subprocess.Popen[str]:
    """The command of the systemd unit; it waits for messages when this returns."""
    arguments = ("run", folder / "w", "--serve", "--journal", "a.journal", "--or-resume", "--workers", 1)
    process = subprocess.Popen(
        started(*arguments), cwd=folder, env=environment(), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "Nobody has anything left to do" in line:
            return process
    raise AssertionError("it has ended")


def test_a_service_is_stopped_and_begun_again_while_its_log_is_followed(tmp_path: Path) -> None:
    world(tmp_path / "w")
    service = serve(tmp_path)
    follower = subprocess.Popen(
        started("log", "a.journal", "--follow", "--level", "info"),
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert follower.stdout is not None
    assert turnwise("send", "a.journal", "listener", "one", cwd=tmp_path).returncode == 0
    assert "heard one" in follower.stdout.readline()
    service.send_signal(signal.SIGTERM)
    assert "not ended after round 1: it can be resumed" in service.communicate()[0]
    assert service.returncode == 143
    assert turnwise("send", "a.journal", "listener", "two", cwd=tmp_path).returncode == 0
    service = serve(tmp_path)
    assert "heard two" in follower.stdout.readline()
    service.kill()
    service.communicate()
    assert turnwise("send", "a.journal", "listener", "three", cwd=tmp_path).returncode == 0
    service = serve(tmp_path)
    assert "heard three" in follower.stdout.readline()
    assert turnwise("send", "a.journal", "listener", "the end", cwd=tmp_path).returncode == 0
    out, _ = service.communicate(timeout=120)
    assert service.returncode == 0
    assert "finished" in out
    rest, _ = follower.communicate(timeout=120)
    assert (follower.returncode, rest.count("heard")) == (0, 1)
    assert turnwise("replay", "a.journal", cwd=tmp_path).returncode == 0


def test_what_send_says(command: Command, tmp_path: Path) -> None:
    folder, path = world(tmp_path / "w"), tmp_path / "a.journal"
    service = serve(tmp_path)
    try:
        sent = command("send", path, "listener", "x", "--json")
        assert json.loads(sent.out) == {"to": "listener", "sent": True}
        assert "Sent to listener" in command("send", path, "listener", "x").out
        nobody = command("send", path, "somebody", "x")
        assert (nobody.code, nobody.out) == (2, "")
        assert "no agent or group called 'somebody'" in nobody.err
        piped = subprocess.run(
            started("send", path, "listener", "-"),
            input=b"the end",
            env=environment(),
            capture_output=True,
            check=False,
        )
        assert piped.returncode == 0
        service.communicate(timeout=120)
        ended = command("send", path, "listener", "x")
        assert ended.code == 2
        assert "has ended" in ended.err
    finally:
        service.kill()
        service.communicate()
    assert folder.is_dir()


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    piped = subprocess.run(
        started("send", tmp_path / "a.journal", "a", "-"),
        input=b"\xff",
        env=environment(),
        capture_output=True,
        check=False,
    )
    assert piped.returncode == 2
    assert b"not UTF-8" in piped.stderr


def test_or_resume_needs_the_name_of_a_journal(command: Command, tmp_path: Path) -> None:
    refused = command("run", world(tmp_path / "w"), "--or-resume")
    assert refused.code == 2
    assert "--journal" in refused.err
    assert command("run", tmp_path / "w", "--native", "--serve").code == 2
