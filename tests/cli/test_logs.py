"""What agents log, as it is shown while a run is played."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from tests.cli.worlds import make_world, played_here, says, turnwise
from turnwise.cli.logs import LOGS_AT_ONCE_MAX, lines_of
from turnwise.cli.output import Output, Styled
from turnwise.cli.progress import LiveDisplay, PlainLines
from turnwise.orchestrator.logs import LOGS_KEPT_MAX, Logged

EVIL = "\x1b[2J\u202e[bold]"
EVIL_SHOWN = "\\e[2J\\u202e[bold]"
STORY = "Ada meets Ben\n  Ada  hello, how do you do\n  Ben  well\n"


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def texts(said: Logged, width: int | None) -> list[str]:
    return ["".join(part if isinstance(part, str) else part.text for part in line) for line in lines_of(said, width)]


def test_a_log_of_one_line_stands_behind_the_name() -> None:
    assert texts(Logged(1, "ada", "info", "hello"), None) == ["ada       hello"]
    assert texts(Logged(1, "a-long-name", "warning", "hello"), None) == ["a-long-name  warning: hello"]
    assert lines_of(Logged(1, "ada", "error", "no"), None) == [
        (Styled("ada       ", "cyan"), Styled("error: no", "red"))
    ]


def test_of_several_lines_the_first_is_a_heading() -> None:
    said = Logged(1, "crier", "info", STORY)
    assert texts(said, None) == [
        "crier     Ada meets Ben",
        "            Ada  hello, how do you do",
        "            Ben  well",
        "",
    ]
    assert lines_of(said, None)[0][1] == Styled("Ada meets Ben", "bold")


def test_wide_lines_are_broken_and_hang() -> None:
    assert texts(Logged(1, "crier", "info", STORY), 33) == [
        "crier     Ada meets Ben",
        "            Ada  hello, how do",
        "              you do",
        "            Ben  well",
        "",
    ]
    assert len(texts(Logged(1, "crier", "info", "word " * 1000), 1)) > 100  # however narrow


def test_both_displays_show_it_and_nothing_acts() -> None:
    said = Logged(1, EVIL, "info", f"{STORY}{EVIL}")
    plain, terminal = io.StringIO(), Terminal()
    with PlainLines(Output(plain), "w") as lines:
        lines.say(said)
    with LiveDisplay(Output(terminal, colour=False), "w") as display:
        display.say(said)
    for shown in (plain.getvalue(), re.sub(r"\x1b\[\d*m", "", terminal.getvalue())):
        assert f"{EVIL_SHOWN}  Ada meets Ben\n            Ada  hello, how do you do\n" in shown
        assert f"\n          {EVIL_SHOWN}\n" in shown
        assert "\x1b[2J" not in shown


def logging(*levels: str) -> str:
    """An agent that logs once at each of the levels."""
    log = [{"level": level, "text": f"hello {level}"} for level in levels]
    return says(json.dumps({"state": "", "log": log, "finish": None}, separators=(",", ":")))


@pytest.mark.parametrize(
    ("options", "levels"),
    [
        ((), ("info", "error")),
        (("--log", "debug"), ("debug", "info", "error")),
        (("--log", "warning"), ("error",)),
        (("--log", "none"), ()),
    ],
)
def test_run_shows_the_levels_that_are_asked_for(
    options: tuple[str, ...], levels: tuple[str, ...], tmp_path: Path
) -> None:
    ended = turnwise(
        "run", make_world(tmp_path / "w", {"a.wat": logging("debug", "info", "error")}), *options, cwd=tmp_path
    )
    assert ended.returncode == 0, ended.stderr
    assert "hello" not in ended.stdout
    for level in ("debug", "info", "error"):
        assert (f"hello {level}\n" in ended.stderr) is (level in levels)


def test_of_many_logs_a_few_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    world = make_world(tmp_path / "w", {"a.wat": logging(*["info"] * 60)})
    ended = played_here("run", world, "--set", "agents.a.count=20", cwd=tmp_path)
    assert LOGS_KEPT_MAX < 1_200
    assert ended.stderr.count("hello ") == LOGS_AT_ONCE_MAX
    assert f"… {1_200 - LOGS_AT_ONCE_MAX:,} logs more: turnwise log shows all\n" in ended.stderr


def test_native_runs_show_them_too(tmp_path: Path) -> None:
    world = make_world(tmp_path / "w", {"a.py": "def turn(t):\n    t.log('hello')\n    t.log('psst', 'debug')\n"})
    ended = played_here("run", world, "--native", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "a         hello\n" in ended.stderr
    assert "psst" not in ended.stderr
    assert "hello" not in played_here("run", world, "--native", "--log", "none", cwd=tmp_path).stderr


def test_no_such_level(tmp_path: Path) -> None:
    ended = played_here("run", make_world(tmp_path / "w", {"a.wat": logging("info")}), "--log", "loud", cwd=tmp_path)
    assert ended.returncode == 2
    assert "--log: 'loud' is no level" in ended.stderr
