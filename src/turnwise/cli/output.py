"""The two streams of the command line: results on stdout, progress, notices and errors on stderr.

`Output` makes all text visible (see `turnwise.cli.text`) before it is written, whoever it comes from, and adds colour
itself. So nothing that is shown can act on the terminal, and no caller has to remember it.
"""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TextIO

from turnwise.visible_text import visible

Style = Literal["bold", "dim", "red", "green", "yellow", "cyan"]
_CODES: dict[Style, str] = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}

TAB_COLUMNS = 4
TEXT_COLUMNS_MIN = 20
"""Text is not broken narrower than this, however narrow the terminal."""


@dataclass(frozen=True, slots=True)
class Styled:
    """A piece of text with a style that is nice to have: it must read as well without."""

    text: str
    """Text without escapes."""
    style: Style
    """Style, dropped where the stream gets no colour."""


Part = str | Styled


def bold(text: str) -> Styled:
    return Styled(text, "bold")


def dim(text: str) -> Styled:
    return Styled(text, "dim")


def red(text: str) -> Styled:
    return Styled(text, "red")


def green(text: str) -> Styled:
    return Styled(text, "green")


def yellow(text: str) -> Styled:
    return Styled(text, "yellow")


def cyan(text: str) -> Styled:
    return Styled(text, "cyan")


class Output:
    """One of the two streams. Writing to a pipe whose reader has gone away is no error: `gone` turns true."""

    def __init__(self, stream: TextIO, *, colour: bool | None = None) -> None:
        self.stream = stream
        self.colour = wants_colour(stream) if colour is None else colour
        self.width: int | None = _columns(stream) if is_terminal(stream) else None
        self.gone = False

    @classmethod
    def out(cls) -> Output:
        """Return the stream for results."""
        return cls(sys.stdout)

    @classmethod
    def err(cls) -> Output:
        """Return the stream for everything else: progress, notices, errors."""
        return cls(sys.stderr)

    def line(self, *parts: Part, indent: int = 0) -> None:
        """Write one line. Line breaks within the parts are shown as escapes and break nothing."""
        self.write(" " * indent + "".join([self._shown(part) for part in parts]).rstrip() + "\n")

    def row(self, label: Part, text: str, more: Part = "", *, indent: int = 0) -> None:
        """Write a label and a text of one line; on a terminal, a long one goes on below its beginning."""
        self._hanging(label, [visible(text)], None, more, indent)

    def block(self, text: str, *, indent: int = 0, first: Part = "", style: Style | None = None) -> None:
        """Write text of several lines, indented; `first` stands before the first, the others are aligned with it."""
        self._hanging(first, visible(text, lines=True).expandtabs(TAB_COLUMNS).split("\n"), style, "", indent)

    def _hanging(self, first: Part, lines: list[str], style: Style | None, more: Part, indent: int) -> None:
        columns = len(visible(first if isinstance(first, str) else first.text))
        if self.width is not None:
            room = max(TEXT_COLUMNS_MIN, self.width - indent - columns - 1)
            lines = [part for line in lines for part in (_broken(line, room) if len(line) > room else [line])]
        for number, line in enumerate(lines):
            start = self._shown(first) if number == 0 else " " * columns
            end = self._shown(more) if number == len(lines) - 1 else ""
            self.write(f"{' ' * indent}{start}{self._styled(line, style)}{end}".rstrip() + "\n")

    def write(self, text: str) -> None:
        """Write text that is fit to be shown as it is: our own, or JSON of ASCII alone."""
        if self.gone:
            return
        try:
            self.stream.write(text)
        except BrokenPipeError:
            self._went()

    def flush(self) -> None:
        if self.gone:
            return
        try:
            self.stream.flush()
        except BrokenPipeError:
            self._went()

    def _went(self) -> None:
        """Note that the reader has gone, and lead what is still buffered nowhere: it must not fail at the exit."""
        self.gone = True
        try:
            descriptor = self.stream.fileno()
        except (OSError, ValueError):
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)

    def _shown(self, part: Part) -> str:
        if isinstance(part, str):
            return visible(part)
        return self._styled(visible(part.text), part.style)

    def _styled(self, shown: str, style: Style | None) -> str:
        if style is None or not self.colour or not shown:
            return shown
        return f"\x1b[{_CODES[style]}m{shown}\x1b[0m"


def _columns(stream: TextIO) -> int | None:
    """Return the width of a stream's terminal: as COLUMNS says, or the terminal itself; None if neither does."""
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said):
        return int(said)
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):
        return None


def _broken(line: str, room: int) -> list[str]:
    """Return a line in pieces that fit, broken between words where there are any."""
    return textwrap.wrap(line, room, replace_whitespace=False, expand_tabs=False, break_on_hyphens=False) or [""]


def wants_colour(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Return True if a stream gets colour: never with NO_COLOR, always with FORCE_COLOR, else on a terminal."""
    if environment.get("NO_COLOR"):
        return False
    if environment.get("FORCE_COLOR"):
        return True
    return environment.get("TERM") != "dumb" and stream.isatty()


def is_terminal(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Return True if lines that were written can be written over, as a live display does."""
    return stream.isatty() and environment.get("TERM", "dumb") != "dumb"


def prepare_streams() -> None:
    """Make both streams take any text, and exist: a program may be started with either closed.

    Without this, `print(file=sys.stderr)` with stderr closed would write to stdout.
    """
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - lives as long as the program
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
