"""On a terminal: a live display, Ctrl-C from the keyboard, and a terminal that is left as it was."""

from __future__ import annotations

import json
import os
import re
import select
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.worlds import SPINS, TICKS, command, environment, make_world, says

fcntl = pytest.importorskip("fcntl")
termios = pytest.importorskip("termios")

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"
COLOUR = re.compile(r"\x1b\[[0-9;]*3[1-7][0-9;]*m")
TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


class Terminal:
    """A program on a pseudo-terminal of its own: what it writes, and a keyboard."""

    def __init__(self, master: int, process: subprocess.Popen[bytes]) -> None:
        self._master = master
        self._process = process
        self.text = ""

    def read_until(self, pattern: str, *, again: bytes = b"") -> None:
        """Read on until the pattern is found in what has come since the last call.

        Keys are pressed `again` whenever nothing came for a second: an interruption in the moment between a prompt and
        the reading behind it is lost, for people too.
        """
        start = len(self.text)
        while not re.search(pattern, self.text[start:]):
            while again and not select.select([self._master], [], [], 1)[0]:
                self.press(again)
            assert self._read(), f"it ended without {pattern!r}: {self.text!r}"

    def press(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def end(self) -> int:
        """Read to the end; return the exit code."""
        while self._read():
            pass
        return self._process.wait(60)

    def _read(self) -> bool:
        try:
            data = os.read(self._master, 65536)
        except OSError:  # Linux says EIO when the other side is closed
            return False
        self.text += data.decode()
        return bool(data)


@contextmanager
def on_terminal(
    *arguments: object, cwd: Path, columns: int = 100, term: str = "xterm", **changes: str
) -> Iterator[Terminal]:
    """Runs the program with a terminal as its stdin, stdout and stderr, and checks that its settings stay."""
    master, slave = os.openpty()
    try:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
        before = termios.tcgetattr(slave)
        process = subprocess.Popen(
            [sys.executable, "-c", TAKE_TERMINAL, *command(*arguments)],
            cwd=cwd,
            env=environment(TERM=term, **changes),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)  # only the program may hold it, or its end would never be seen
        slave = -1
        try:
            yield Terminal(master, process)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(60)
        assert termios.tcgetattr(master) == before
    finally:
        os.close(master)
        if slave >= 0:
            os.close(slave)


def final(text: str) -> str:
    """What came after the live display, without styles and the removal of the display."""
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]|\r", "", text.rpartition(SHOW)[2])


def assert_sane(text: str) -> None:
    """The cursor is there again, and no colour is left on."""
    assert text.rfind(SHOW) > text.rfind(HIDE) >= 0
    styles = re.findall(r"\x1b\[([0-9;]*)m", text)
    assert styles[-1] in ("", "0")


def test_a_live_display_and_then_the_summary(tmp_path: Path) -> None:
    world = make_world(tmp_path / "w", {"tick.wat": TICKS}, rounds_max=1_000_000)
    with on_terminal("run", world, cwd=tmp_path) as terminal:
        terminal.read_until(r"round.*of at most 1,000,000")
        terminal.read_until(r"turns.*/s")
        terminal.read_until(r"waits")
        terminal.press(b"\x03")
        assert terminal.end() == 130
    assert_sane(terminal.text)
    assert "^C" not in terminal.text.rpartition(SHOW)[2]
    end = final(terminal.text)
    assert "w: not ended after round " in end
    assert "turnwise resume runs/w-0.journal   goes on" in end
    assert "of at most" not in end


def test_two_presses_stop_at_once(tmp_path: Path) -> None:
    world = make_world(tmp_path / "w", {"spin.wat": SPINS})
    toml = (world / "world.toml").read_text()
    (world / "world.toml").write_text(toml.replace("start = true", "start = true\nfuel = 14_400_000_000"))
    with on_terminal("run", world, cwd=tmp_path) as terminal:
        terminal.read_until(r"\x1b\[1m1\x1b\[0m of at most")
        terminal.press(b"\x03")
        terminal.read_until(r"Stopping when the round in progress is committed")
        terminal.read_until(r"stopping")
        terminal.press(b"\x03")
        assert terminal.end() == 130
    assert "Stopping at once" in terminal.text
    assert_sane(terminal.text)


def test_a_failure_leaves_the_terminal_sane(tmp_path: Path) -> None:
    world = make_world(tmp_path / "w", {"a.wat": says("not JSON")}, on_failure='"stop"')
    with on_terminal("run", world, cwd=tmp_path) as terminal:
        assert terminal.end() == 1
    assert_sane(terminal.text)


def test_no_color_is_respected(tmp_path: Path) -> None:
    world = make_world(tmp_path / "w", {"a.wat": says('{"state":"","finish":1}')})
    with on_terminal("run", world, cwd=tmp_path) as coloured:
        assert coloured.end() == 0
    assert COLOUR.search(coloured.text)
    with on_terminal("run", world, cwd=tmp_path, NO_COLOR="1") as plain:
        assert plain.end() == 0
    assert not COLOUR.search(plain.text)


def test_a_dumb_terminal_gets_plain_lines(tmp_path: Path) -> None:
    world = make_world(tmp_path / "w", {"a.wat": says('{"state":"","finish":1}')})
    with on_terminal("run", world, cwd=tmp_path, term="dumb") as terminal:
        assert terminal.end() == 0
    assert "\x1b" not in terminal.text


def test_long_texts_are_broken_below_their_beginning(tmp_path: Path) -> None:
    story = " ".join(["word"] * 60)
    world = make_world(tmp_path / "w", {"a.wat": says(json.dumps({"state": "", "finish": story}))})
    with on_terminal("run", world, cwd=tmp_path, columns=60, NO_COLOR="1") as terminal:
        assert terminal.end() == 0
    lines = terminal.text.replace("\r", "").split("\n")
    first = next(number for number, line in enumerate(lines) if line.startswith("  result    word"))
    assert lines[first + 1].startswith("            word")
    assert max(map(len, lines[first : first + 5])) < 60, lines


def test_replay_shows_how_far_it_is(tmp_path: Path) -> None:
    world = make_world(tmp_path / "w", {"tick.wat": TICKS}, rounds_max=3)
    with on_terminal("run", world, "--journal", "run.journal", cwd=tmp_path) as terminal:
        assert terminal.end() == 0
    with on_terminal("replay", "run.journal", cwd=tmp_path) as terminal:
        terminal.read_until("replaying round")
        assert terminal.end() == 0
    assert "equal" in terminal.text
    assert_sane(terminal.text)


def test_one_press_ends_a_compilation(tmp_path: Path) -> None:
    """The compiler has no part in the terminal's Ctrl-C, and does not outlive the run that wanted it."""
    world = make_world(tmp_path / "w", {"a.py": "def turn(t):\n    t.finish()\n"})
    with on_terminal("run", world, cwd=tmp_path, TURNWISE_CACHE=str(tmp_path / "cache")) as terminal:
        terminal.read_until("Compiling")
        terminal.press(b"\x03")
        assert terminal.end() == 130
    assert "Stopping: no round has begun." in terminal.text
    assert "interrupted before the first round was committed: there is nothing to go on with." in final(terminal.text)
    assert_sane(terminal.text)


def test_an_interruption_of_what_has_no_safe_points(tmp_path: Path) -> None:
    """Nothing is lost by it, so it ends at once, and says that it was no ordinary end."""
    world = make_world(tmp_path / "w", {"a.py": "def turn(t):\n    t.finish()\n"})
    with on_terminal("check", world, cwd=tmp_path, TURNWISE_CACHE=str(tmp_path / "cache")) as terminal:
        terminal.read_until("compiling sources")
        terminal.press(b"\x03")
        assert terminal.end() == 130
    assert final(terminal.text).strip() == "interrupted"
    assert_sane(terminal.text)
