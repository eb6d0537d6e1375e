"""The two streams: made visible by construction, coloured where that is wanted, closed without noise."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from turnwise.cli.output import Output, bold, is_terminal, red, wants_colour

EVIL = "\x1b[31mred\r\u202e"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_parts_cannot_act_and_cannot_break_the_line() -> None:
    stream = io.StringIO()
    Output(stream).line("body: ", f"{EVIL}\nnext", bold("\x07"), indent=2)
    assert stream.getvalue() == "  body: \\e[31mred\\r\\u202e\\nnext\\a\n"


def test_blocks_keep_their_lines_and_align_them() -> None:
    stream = io.StringIO()
    Output(stream).block("Traceback:\n\tline\x1b[2J\n\nEnd", indent=2, first=red("failed "))
    assert stream.getvalue() == "  failed Traceback:\n             line\\e[2J\n\n         End\n"


def test_rich_markup_means_nothing() -> None:
    stream = io.StringIO()
    Output(stream).line("[bold red]not markup[/] :smile:")
    assert stream.getvalue() == "[bold red]not markup[/] :smile:\n"


def test_colour_is_ours_alone() -> None:
    stream = Terminal()
    Output(stream, colour=True).line(red("a\x1b[0m"))
    assert stream.getvalue() == "\x1b[31ma\\e[0m\x1b[0m\n"


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "dumb"}, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
    ],
)
def test_colour_on_a_terminal(environment: dict[str, str], wanted: bool) -> None:
    assert wants_colour(Terminal(), environment) is wanted


def test_colour_elsewhere() -> None:
    assert not wants_colour(io.StringIO(), {"TERM": "xterm"})
    assert wants_colour(io.StringIO(), {"FORCE_COLOR": "1"})


def test_a_dumb_terminal_is_not_drawn_over() -> None:
    assert is_terminal(Terminal(), {"TERM": "xterm"})
    assert not is_terminal(Terminal(), {"TERM": "dumb"})
    assert not is_terminal(Terminal(), {})
    assert not is_terminal(io.StringIO(), {"TERM": "xterm"})


def test_a_reader_that_went_away_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w", buffering=1) as stream:
        output = Output(stream)
        output.line("x" * 100_000)
        assert output.gone
        output.line("and again")


@pytest.mark.parametrize("closed", [1, 2])
def test_a_closed_stream_never_moves_text_to_the_other(closed: int) -> None:
    code = f"import os; os.close({closed}); os.execv({sys.executable!r}, [{sys.executable!r}, '-m', 'turnwise', 'rnu'])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stdout == ""
