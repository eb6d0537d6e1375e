"""The program as a person starts it: in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import turnwise as turnwise_package
from tests.cli.worlds import TICKS, make_world
from turnwise._version import __version__

COMMANDS = (
    "run",
    "sweep",
    "resume",
    "play",
    "answer",
    "tools",
    "call",
    "send",
    "fork",
    "detach",
    "replay",
    "verify",
    "diff",
    "why",
    "debug",
    "log",
    "runs",
    "monitor",
    "observe",
    "watch",
    "check",
    "new",
    "doctor",
    "generate",
    "models",
)
HEAVY = ("onnxruntime", "wasmtime", "numpy", "tokenizers", "rich", "asyncio", "turnwise.orchestrator", "sqlite3")


def turnwise(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "turnwise", *arguments],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_version() -> None:
    ended = turnwise("--version")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"turnwise {__version__}\n", "")


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys, turnwise.cli\n"
        "try: turnwise.cli.main(['--help'])\n"
        f"finally: print(*[name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0
    for name in COMMANDS:
        assert f"\n  {name} " in ended.stdout
    assert ended.stderr.strip() == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    ended = turnwise(command, "-h")
    assert ended.returncode == 0
    assert ended.stderr == ""
    assert ended.stdout.startswith(f"Usage: turnwise {command} ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnu"], "No such command 'rnu'"),
        (["run", "--sed", "3", "w"], "--seed"),
        (["run"], "WORLD"),
        (["run", "w", "--seed", "many"], "--seed"),
        (["run", "w", "--model", "storyteller"], "--model: 'storyteller' does not name a model and its folder"),
        (["run", "w", "--model", "a=x", "--model", "a=y"], "--model: 'a' is named twice"),
        (["log"], "JOURNAL"),
        (["generate", "only-a-folder"], "PROMPT"),
        (["\x1b[2J\u202e"], "No such command"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str) -> None:
    ended = turnwise(*arguments)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith("error: ")
    assert message in ended.stderr
    assert not set("\x1b\u202e─│╭╰") & set(ended.stderr)


def test_no_command_is_wrong_usage_and_shows_what_there_is() -> None:
    ended = turnwise()
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert "Usage: turnwise" in ended.stderr


def test_wrong_usage_with_json_is_one_object() -> None:
    ended = turnwise("run", "--json", "--nonsense")
    assert ended.returncode == 2
    assert json.loads(ended.stdout)["error"]["exit"] == 2
    assert "No such option: --nonsense" in ended.stderr


def interrupted_at(folder: Path, module: str, number: signal.Signals) -> str:
    """PYTHONPATH with which the program gets a signal when it imports a module."""
    (folder / "sitecustomize.py").write_text(
        "import sys, signal, os\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), {int(number)})\n"
        "sys.meta_path.insert(0, Interrupt())\n"
    )
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("number", SIGNALS)
def test_an_interruption_while_starting_is_no_traceback(tmp_path: Path, number: signal.Signals) -> None:
    ended = turnwise("--help", PYTHONPATH=interrupted_at(tmp_path, "typer", number))
    assert (ended.returncode, ended.stdout, ended.stderr) == (128 + number, "", "")


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(
    "module", ["turnwise.api.playing", "turnwise.cli.playing", "turnwise.sandbox.python", "turnwise.sharedmem.memfd"]
)
def test_an_interruption_in_the_first_second_is_as_orderly_as_later(
    tmp_path: Path, module: str, number: signal.Signals
) -> None:
    """While the world is read, while agents are prepared, while workers are started."""
    world = make_world(tmp_path / "w", {"tick.wat": TICKS}, rounds_max=1_000_000)
    (tmp_path / "site").mkdir()
    path = interrupted_at(tmp_path / "site", module, number)
    journal = tmp_path / "a.journal"
    ended = turnwise("run", str(world), "--journal", str(journal), PYTHONPATH=path)
    assert ended.returncode == 128 + number, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "defect" not in ended.stderr
    beside = {file.name for file in tmp_path.iterdir()} - {"w", "site"}
    assert beside <= {"a.journal"}
    if beside:
        with turnwise_package.open(journal) as run:
            assert run.status == "open"


def test_text_that_the_encoding_lacks_is_escaped(tmp_path: Path) -> None:
    ended = turnwise("log", str(tmp_path / "nö 🎲"), PYTHONIOENCODING="ascii")
    assert ended.returncode == 2
    assert "n\\xf6 \\U0001f3b2" in ended.stderr


def test_no_colour_where_nobody_sees_it() -> None:
    assert "\x1b" not in turnwise("doctor").stdout
    assert "\x1b[1m" in turnwise("doctor", FORCE_COLOR="1").stdout
    assert "\x1b" not in turnwise("doctor", FORCE_COLOR="1", NO_COLOR="1").stdout
