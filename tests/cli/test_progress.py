"""What is shown of a run while it is played, with a clock that only the test moves."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from turnwise.cli.output import Output
from turnwise.cli.progress import LiveDisplay, PlainLines, counting, display_for, waiting_line
from turnwise.orchestrator.progress import Progress

EVIL = "\x1b[2J\u202e[bold]"
EVIL_SHOWN = "\\e[2J\\u202e[bold]"

STARTING = Progress("starting", f"loading {EVIL}", 0, 12, 0, 0, 0, 0, 0, ())
PLAYING = Progress("playing", "", 1, 12, 0, 0, 0, 0, 0, ())


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_plain_lines_are_one_a_round_and_one_a_second_at_most() -> None:
    stream, clock = io.StringIO(), Clock()
    with PlainLines(Output(stream), f"w {EVIL}", clock) as lines:
        lines.update(STARTING)
        lines.update(STARTING)
        for tenth in range(100):  # ten seconds, five rounds a second
            clock.now_s = 100 + tenth / 10
            lines.update(replace(PLAYING, round=1 + tenth // 2, turns=tenth, tokens=tenth * 10, failures=1))
        for _ in range(100):  # ten seconds more, in which no round ends
            clock.now_s += 0.1
            lines.update(replace(PLAYING, round=50, turns=100))
    shown = stream.getvalue().split("\n")
    assert shown[:2] == [f"playing w {EVIL_SHOWN}", f"starting: loading {EVIL_SHOWN}"]
    rounds = [line for line in shown if line.startswith("round ")]
    assert len(rounds) == 11
    assert rounds[0] == "round 1 of at most 12, 0 turns (0.0/s), 1 failed"
    assert rounds[4] == "round 21 of at most 12, 40 turns (10/s), 400 tokens (100/s), 1 failed"


def test_the_live_display_draws_what_there_is_and_lets_nothing_act() -> None:
    stream = Terminal()
    waiting = tuple(f"{EVIL}-{number} for 1 effect" for number in range(8))
    with LiveDisplay(Output(stream, colour=False), f"w {EVIL}", Clock()) as display:
        display.update(STARTING)
        display.note(f"notice {EVIL}")
        display.update(
            replace(PLAYING, round=3, turns=21, failures=2, messages=40, effects=3, tokens=840, waiting=waiting)
        )
        display.update(replace(PLAYING, phase="stopping", round=3))
    text = stream.getvalue()
    assert "\u202e" not in text
    assert f"w {EVIL_SHOWN}" in text
    assert f"loading {EVIL_SHOWN}" in text
    assert f"notice {EVIL_SHOWN}" in text
    for part in ("of at most 12", "21", "840", "failed", f"{EVIL_SHOWN}-0 for 1 effect", "when round 3 is committed"):
        assert part in text
    assert "\x1b[2J" not in text


def test_few_of_those_who_wait_are_named() -> None:
    assert waiting_line(()) == ""
    assert waiting_line(("a for 1 effect",)) == "a for 1 effect"
    assert waiting_line(("a", "b", "c", "d")) == "a, b, c, …"


def test_the_display_fits_where_it_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(display_for(Output(io.StringIO()), "w"), PlainLines)
    assert isinstance(display_for(Output(Terminal()), "w"), LiveDisplay)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(display_for(Output(Terminal()), "w"), PlainLines)


def test_counting_on_a_terminal_and_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    with counting(Output(terminal, colour=False), "replaying round") as count:
        count(1, 2)
        count(2, 2)
    assert "replaying round" in terminal.getvalue()
    assert "2/2" in terminal.getvalue()
    stream = io.StringIO()
    with counting(Output(stream), "replaying round") as count:
        count(1, 2)  # within the first second, so nothing is said
    assert stream.getvalue() == ""
